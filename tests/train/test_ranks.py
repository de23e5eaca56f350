"""Several processes that train one network.

Tolerances: what ranks add up is the sum of a process's gradients in another order, which rounds by
6e-8 of its largest term; over some steps of training that grows.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from darkpy import Network
from darkpy.errors import DeviceError, TrainingError
from darkpy.kernels.cpu import threads
from darkpy.train import ranks as module
from darkpy.train.ranks import ALONE, NcclSums, add_up, command, connect, launched, own, parts
from tests.conftest import ROOT
from tests.train.of_ranks import PICTURES, STEPS, arrays, batches
from tests.train.project import ALL, assert_same, figures, state, weights, write_project
from tests.train.test_trainer import cfg

CLOSE = 2e-5
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="there is no mpi4py, or no mpiexec",
)
FREE = {name: text for name, text in os.environ.items() if not name.startswith(("PMI", "OMPI"))}
# What Open MPI is told: it may be root who tests, and there may be fewer cores than processes.
ROOM = {
    **FREE,
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def started(count, *words):
    """Run a module of Python as so many ranks; return the process that has ended."""
    words = [MPIEXEC, "-n", str(count), sys.executable, "-m", *map(str, words)]
    return subprocess.run(words, cwd=ROOT, env=ROOM, capture_output=True, text=True, timeout=120)


def trained(count, folder, *more, happening=None):
    """Run a training of a project as so many ranks."""
    first = ("tests.train.of_ranks", happening) if happening else ("darkpy",)
    files = (folder / "tiny.data", folder / "tiny.cfg")
    return started(count, *first, "detector", "train", *files, "--no-map", *more)


@pytest.mark.parametrize(
    ("count", "subdivisions", "ranks", "sizes"),
    [
        (8, 2, 1, [4, 4]),
        (3, 4, 1, [1, 1, 1]),
        (8, 2, 2, [4, 4]),
        (8, 1, 2, [4, 4]),
        (8, 4, 2, [2, 2, 2, 2]),
        (64, 8, 3, [7, 7, 7, 7, 7, 7, 7, 7, 8]),
        (4, 4, 3, [1, 1, 2]),
        (2, 16, 2, [1, 1]),
        (5, 16, 2, [1, 1, 1, 2]),
    ],
)
def test_each_rank_has_as_many_mini_batches(count, subdivisions, ranks, sizes):
    found = parts(count, subdivisions, ranks)
    assert [len(one) for one in found] == sizes
    assert [slot for one in found for slot in one] == list(range(count))
    each = [own(count, subdivisions, SimpleNamespace(rank=k, size=ranks)) for k in range(ranks)]
    assert [slots for mine in each for slots in mine.values()] == found
    assert [k for mine in each for k in mine] == list(range(len(found)))
    assert len({len(mine) for mine in each}) == 1


def test_a_rank_without_a_picture():
    with pytest.raises(TrainingError, match=r"a batch of 1 has no picture .* expected batch=2"):
        parts(1, 1, 2)


def test_alone_nothing_is_sent():
    array = np.ones(3, np.float32)
    add_up([array], ALONE)
    ALONE.sum(array)()
    assert array.tolist() == [1, 1, 1]
    assert (ALONE.gather("a"), ALONE.tell("b")) == (["a"], "b")


class Doubling:
    """Two ranks of which the other has the same; sums are made when they are waited for."""

    rank, size, beside = 0, 2, 1

    def __init__(self):
        self.on_the_way = 0
        self.most = 0

    def sum(self, array):
        self.on_the_way += 1
        self.most = max(self.most, self.on_the_way)

        def wait():
            self.on_the_way -= 1
            array[...] *= 2

        return wait


def test_small_arrays_are_added_up_together(rng, monkeypatch):
    monkeypatch.setattr(module, "LARGE", 40)
    sizes = [(3,), (2, 5), (40,), (30,), (), (50,), (8, 5)]
    mine = [rng.random(size).astype(np.float32) for size in sizes]
    mine[-1] = np.asfortranarray(mine[-1])  # with gaps
    wanted = [2 * array for array in mine]
    ranks = Doubling()
    add_up(mine, ranks)
    for found, truth in zip(mine, wanted, strict=True):
        np.testing.assert_array_equal(found, truth)
    assert (ranks.most, ranks.on_the_way) == (4, 0)


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_a_launcher_is_noticed(name, monkeypatch):
    for one in module.COUNTS:
        monkeypatch.delenv(one, raising=False)
    assert launched() == 1 and connect() is ALONE
    monkeypatch.setenv(name, "3")
    assert launched() == 3
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(TrainingError, match=r"mpiexec started 3 processes, which need mpi4py"):
        connect()


def test_mpi4py_of_another_mpi(monkeypatch):
    found = SimpleNamespace(size=1, _mpi=SimpleNamespace(Get_library_version=lambda: "Open MPI\n2"))
    monkeypatch.setattr(module, "MpiRanks", lambda: found)
    monkeypatch.setattr(module, "launched", lambda: 2)
    with pytest.raises(TrainingError, match=r"but mpi4py finds 1: it has another MPI \(Open MPI\)"):
        connect()


def test_the_command_that_starts_ranks(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name, path=None: path and f"{path}/{name}")
    words = command(2, ["detector", "train"])
    folder = Path(sys.executable).parent
    assert words == [
        *(f"{folder}/mpiexec", "-n", "2", sys.executable, "-m", "darkpy", "detector", "train")
    ]
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    with pytest.raises(TrainingError, match="no mpiexec to start 2 processes with: pip install"):
        command(2, [])


def test_ranks_take_the_place_of_the_process(monkeypatch):
    from darkpy import cuda
    from darkpy.cli import main

    said = []
    monkeypatch.setattr(cuda, "refusal", lambda device: "")
    monkeypatch.setattr(module, "launched", lambda: 1)
    monkeypatch.setattr(module, "command", lambda count, words: ["mpiexec", str(count), *words])

    def execute(path, words):
        said.append((path, words))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execute)
    words = ["detector", "train", "a.data", "a.cfg", "-gpus", "2,3"]
    monkeypatch.setattr(sys, "argv", ["darkpy", *words])
    with pytest.raises(SystemExit):
        main(words)
    assert said == [("mpiexec", ["mpiexec", "2", *words])]


def test_each_rank_has_a_gpu():
    ranks = SimpleNamespace(beside=2, place=1)
    ranks.size = 2
    assert (module.chosen((), ranks), module.chosen((), ALONE)) == ("cpu", "auto")
    assert module.chosen(("cpu",), ranks) == "cpu"
    assert module.chosen(("cuda:2", "cuda:5"), ranks) == "cuda:5"
    assert module.chosen(("cuda:1",), ALONE) == "cuda:1"
    with pytest.raises(TrainingError, match="3 GPUs for 2 processes on this machine"):
        module.chosen(("cuda:0", "cuda:1", "cuda:2"), ranks)


def test_cores_are_shared_out(monkeypatch):
    from darkpy.kernels.cpu.engine import team

    most, cores = team.most(), threads.cores()
    for name in ("CORES", "sharing"):
        monkeypatch.setattr(threads, name, getattr(threads, name))
    monkeypatch.setattr(threads.blas, "CONTROLS", None)
    threads.share(2)
    assert max(1, cores // 2) == threads.CORES
    assert max(1, most // 2) == team.most()
    threads.share(1000)
    assert (threads.CORES, team.most()) == (1, 1)


class Gpu:
    """A stand-in for cupy that remembers what was asked of streams and of NCCL."""

    def __init__(self):
        self.said = []
        said = self.said
        gpu = self

        class Stream:
            ptr = 77

            def __init__(self, non_blocking=False, name="side"):
                self.name = name

            def wait_event(self, event):
                said.append(f"{self.name} waits for {event.place}")

        class Event:
            def __init__(self, disable_timing):
                self.place = None

            def record(self, stream):
                self.place = f"{stream.name} {len(said)}"

        class NcclCommunicator:
            def __init__(self, *args):
                said.append(args)

            def allReduce(self, *args):
                said.append(args)
                if not args[2]:
                    raise NcclError("NCCL_ERROR_INVALID_USAGE: invalid usage")

        class NcclError(RuntimeError):
            pass

        self.current = Stream(name="own")
        names = {
            "NCCL_FLOAT32": 7,
            "NCCL_SUM": 0,
            "get_unique_id": lambda: "name",
            "available": True,
            "NcclError": NcclError,
        }
        self.nccl = SimpleNamespace(NcclCommunicator=NcclCommunicator, **names)
        self.cuda = SimpleNamespace(
            Stream=Stream, Event=Event, get_current_stream=lambda: gpu.current
        )


def test_sums_of_gpus_run_beside_the_rest(monkeypatch):
    gpu = Gpu()
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", gpu.nccl)
    sums = NcclSums(SimpleNamespace(rank=0, size=2, tell=lambda name: name), gpu)
    wait = sums.sum(SimpleNamespace(data=SimpleNamespace(ptr=4096), size=10))
    assert gpu.said == [
        *("side waits for own 0", (2, "name", 0), (4096, 4096, 10, 7, 0, 77)),
    ]
    wait()
    assert gpu.said[-1] == "own waits for side 3"
    with pytest.raises(DeviceError, match="several GPUs do not add up: NCCL_ERROR_INVALID_USAGE"):
        sums.sum(SimpleNamespace(data=SimpleNamespace(ptr=4096), size=0))


def test_a_cupy_without_nccl(monkeypatch):
    gpu = Gpu()
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", SimpleNamespace(available=False))
    with pytest.raises(DeviceError, match="NCCL, which CuPy does not find: pip install nvidia-nc"):
        NcclSums(ALONE, gpu)


NETS = {
    "plain": {},
    "adam": {"net": "adam=1\nema_alpha=.9\nmax_batches=4"},
    "planned": {},
}


def unnormalized(folder, keys):
    """Write the .cfg of a network with crop and dropout, and without batch normalisation."""
    path = cfg(folder, **keys)
    text = path.read_text().replace("batch_normalize=1", "batch_normalize=0")
    text = text.replace("[convolutional]", "[dropout]\nprobability=.2\n[convolutional]", 2)
    crop = "[crop]\ncrop_height=8\ncrop_width=8\nflip=1\n[dropout]"
    path.write_text(text.replace("[dropout]", crop, 1))
    return path


@needs_mpi
@pytest.mark.parametrize(("name", "count"), [("plain", 3), ("adam", 2), ("planned", 2)])
def test_ranks_learn_what_one_process_does(name, count, tmp_path, monkeypatch):
    from darkpy.train import on_host
    from darkpy.train.trainer import Trainer

    path = unnormalized(tmp_path, NETS[name])
    done = started(count, "tests.train.of_ranks", "steps", path, tmp_path / name)
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(on_host, "PLAN_FROM", 0 if name == "planned" else on_host.PLAN_FROM)
    settings = (f"net.subdivisions={max(2, count)}",)  # of 2, in which three ranks draw otherwise
    alone = Trainer(Network.from_cfg(path, settings=settings))
    losses = [alone.step(*batch) for batch in batches()]
    assert len(losses) == STEPS
    wanted = {"losses": np.array(losses), **arrays(alone)}
    ranks = [dict(np.load(tmp_path / f"{name}-{k}.npz")) for k in range(count)]
    for one in ranks:
        for key, array in one.items():
            assert array.tobytes() == ranks[0][key].tobytes(), key
            most = np.abs(np.nan_to_num(wanted[key])).max()
            close = {"rtol": 0, "atol": CLOSE * most, "equal_nan": True}
            np.testing.assert_allclose(array, wanted[key], err_msg=key, **close)
    assert ranks[0]["truths"] == PICTURES


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Return the project of a training that two ranks did without a stop."""
    folder = write_project(tmp_path_factory.mktemp("straight") / "a", **ALL)
    done = trained(2, folder, "--save-every", 4)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@needs_mpi
def test_a_run_of_ranks_can_be_stopped_and_resumed(straight, tmp_path):
    folder = write_project(tmp_path / "a", **ALL)
    stopped = trained(2, folder, "--save-every", 4, happening="10:int:0")
    assert stopped.returncode == 130, stopped.stderr
    assert "saved at iteration 10" in stopped.stderr
    done = trained(2, folder, "--save-every", 4, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Learning Rate") == 1, "rank 0 alone prints"
    assert "ranks: 2 processes share each batch" in done.stderr
    assert_same(straight, folder)


@pytest.mark.slow
@needs_mpi
def test_a_rank_that_is_killed_ends_all_and_costs_nothing_saved(straight, tmp_path):
    folder = write_project(tmp_path / "a", **ALL)
    done = trained(2, folder, "--save-every", 4, happening="10:kill:1")
    assert done.returncode not in (0, 130)
    assert "signal 9" in done.stdout + done.stderr
    assert state(folder)[1]["trainer"]["iteration"] == 8
    assert trained(2, folder, "--save-every", 4, "--resume").returncode == 0
    assert_same(straight, folder)


@pytest.mark.slow
@needs_mpi
def test_two_gpus_learn_what_the_processor_does(tmp_path):
    """Tolerance: products in another order, over three iterations."""
    on_gpus, on_cpu = (write_project(tmp_path / name, net="ema_alpha=.9") for name in "ab")
    for folder in (on_gpus, on_cpu):
        path = folder / "tiny.cfg"
        crop = "[crop]\ncrop_height=13\ncrop_width=13\nflip=1\n"
        path.write_text(path.read_text().replace("[dropout]\nprobability=.3\n", crop))
    short = ("--set", "net.max_batches=3")
    where = ("-gpus", "0,1", "--precision", "fp32")
    stopped = trained(2, on_gpus, *short, *where, "--max-hours", "1e-9", happening="gpus")
    assert stopped.returncode == 0, stopped.stderr
    assert "saved at iteration 1" in stopped.stderr
    resumed = trained(2, on_gpus, *short, *where, "--resume", happening="gpus")
    assert resumed.returncode == 0, resumed.stderr
    assert trained(1, on_cpu, *short, "-i", "-1").returncode == 0
    (found, counters), (wanted, others) = state(on_gpus), state(on_cpu)
    assert counters["trainer"] == others["trainer"] and found.keys() == wanted.keys()
    for name, array in found.items():
        if "rolling" not in name:  # each GPU has its own
            most = np.abs(wanted[name]).max()
            np.testing.assert_allclose(array, wanted[name], rtol=0, atol=1e-4 * most, err_msg=name)


@needs_mpi
def test_what_goes_wrong_in_a_rank_is_said_once(tmp_path):
    folder = write_project(tmp_path / "a")
    done = trained(2, folder, happening="7:memory:1")
    assert done.returncode == 2
    assert done.stderr.count("error: rank 1: MemoryError") == 1
    (folder / "tiny.cfg").write_text("[net]\n")
    done = trained(2, folder)
    assert done.returncode == 2
    assert done.stderr.count("no layer follows") == 1


def test_a_rank_that_ends_all_is_heard_first(capsys):
    """A launcher that learns of the end along with the reason may drop the reason."""
    began, ended = time.monotonic(), []
    comm = SimpleNamespace(Abort=lambda status: ended.append((status, time.monotonic())))
    module.MpiRanks.abort(SimpleNamespace(rank=1, comm=comm), ValueError("the reason"))
    assert capsys.readouterr().err == "error: rank 1: the reason\n"
    ((status, end),) = ended
    assert status == 2 and end - began > 0.3


@needs_mpi
def test_all_ranks_go_back_when_one_has_a_loss_that_is_no_number(tmp_path):
    folder = write_project(tmp_path / "a")
    done = trained(2, folder, "--save-every", 4, happening="7:nan:1")
    assert done.returncode == 0, done.stderr
    assert "here: is no number" in done.stderr
    line = next(line for line in done.stderr.splitlines() if "is no number" in line)
    assert line.count(".png") == 2, "rank 1 has those pictures"
    assert "back to iteration 4, and on at half the rate (1 of 3 times)" in line
    assert len(figures(folder)) == 22
    assert "tiny_final.weights" in weights(folder)


@needs_mpi
def test_a_batch_too_small_for_the_ranks(tmp_path):
    folder = write_project(tmp_path / "a")
    done = trained(2, folder, "--set", "net.batch=1", "--set", "net.subdivisions=1")
    assert done.returncode == 2
    assert not (folder / "backup").exists()
    assert done.stderr.count("a batch of 1 has no picture for some of 2 processes") == 1
