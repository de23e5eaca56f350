"""Tuning of a GPU: the fastest tiles and splits are taken and kept, and nothing else is."""

import json
import logging
import sys

import numpy as np
import pytest

import darkpy
from darkpy import cuda, kernels
from darkpy.cli import main
from darkpy.errors import DeviceError
from darkpy.kernels.cuda.choices import Asked, Choices, Kept, place
from darkpy.kernels.cuda.convolve import ranked
from darkpy.kernels.cuda.device import TUNED, Device
from darkpy.kernels.cuda.sources import source
from darkpy.kernels.cuda.weight_grad import MOST, dense_weight_grad
from darkpy.plan.cuda import compile
from darkpy.plan.cuda.step import CudaStepPlan, CudaTraining
from darkpy.plan.cuda.tune import forget, tune
from darkpy.train.device_optimizer import DeviceOptimizer
from darkpy.train.optimizer import Optimizer
from tests.hostcuda import RawModule, missing
from tests.hostcuda.cupy import cupy
from tests.hostcuda.device import HostDevice
from tests.plan import networks
from tests.tiny import CFG, write_model

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
NET = "[net]\nwidth=9\nheight=7\nchannels=3\n" + networks.conv(24, 3, 1, "leaky") * 3
SIZES = {"arch": 90, "processors": 8, "most_shared": 227 << 10}


class Timed(HostDevice):
    """A device that runs nothing, and takes as long as ``spends`` says of launches."""

    def __init__(self, spends, kept=None):
        super().__init__(np, RawModule, **SIZES, kept=kept)
        self.spends = spends

    def build(self, launches, progress=None):
        """Compile nothing."""

    def bind(self, launches, scratch=None):
        """Return no calls."""
        return []

    def timer(self, launches, times):
        """Return what tells the milliseconds of launches."""
        return lambda: self.spends(launches)


def convolutions(launches):
    return [one for one in launches if one.file in TUNED]


def is_small(launch):
    """Return whether a tile is the smallest there is, and taken by no estimate here."""
    return "32, 32, 16, 16, 4>" in launch.name


def by_tile(others, small):
    """Return how long launches take whose tile is the smallest, and others."""
    return lambda launches: sum(small if is_small(k) else others for k in convolutions(launches))


def launches_of(plan):
    return [one for _, own in plan.launches for one in own]


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "cache" / "gpu.json", "digest")


@pytest.fixture
def model(tmp_path):
    (tmp_path / "net.cfg").write_text(NET)
    network, params, _ = networks.read(tmp_path / "net.cfg")
    return network, params


def questions(model, device, precision="fp32", batch=1):
    asked = Asked()
    compile(*model, device.choosing(asked), batch=batch, precision=precision)
    return asked.questions


def test_the_fastest_is_taken_and_kept(model, kept):
    device, shown = Timed(by_tile(5.0, 2.0), kept), []
    before = [k.name for k in convolutions(launches_of(compile(*model, device)))]
    found = tune(*model, device, rounds=3, progress=lambda *counts: shown.append(counts))
    assert found.kept and (found.old, found.new) == (15.0, 6.0)
    assert shown == [(i, len(found.layers)) for i in range(len(found.layers) + 1)]
    assert [one.count for one in found.layers] == [1, 2]  # the last two are alike
    assert all(map(is_small, convolutions(launches_of(compile(*model, device)))))
    again = Timed(None, kept)  # as another process finds it
    both = [[k.name for k in launches_of(compile(*model, one))] for one in (device, again)]
    assert both[0] == both[1]
    names = json.loads(kept.path.read_text())["names"]
    assert list(names.items()) == sorted((one.layer, str(one.after)) for one in found.layers)
    assert [one.name for one in kept.path.parent.iterdir()] == [kept.path.name]
    assert forget(*model, again) == len(names) and forget(*model, again) == 0
    assert kept.read() == {}
    assert [k.name for k in convolutions(launches_of(compile(*model, again)))] == before


@pytest.mark.parametrize("fast", [4.9, 5.0, 7.0])
def test_noise_changes_nothing(model, kept, fast):
    """Less than 3 per cent is within what times vary."""
    device = Timed(by_tile(5.0, fast), kept)
    device.keep(dict.fromkeys(questions(model, device, "fp16"), "32x32"))
    found = tune(*model, device, rounds=1)
    assert not found.kept and all(one.before == one.after for one in found.layers)
    assert device.choices.names == kept.read() == {}


def test_what_makes_the_whole_no_faster_is_not_kept(model, kept):
    def spends(launches):
        return 9.0 if len(launches) > 2 else by_tile(5.0, 2.0)(launches)

    found = tune(*model, Timed(spends, kept), rounds=1)
    assert any(one.before != one.after for one in found.layers)
    assert not found.kept and kept.read() == {}


def test_choices_of_others_stay(model, kept):
    device = Timed(by_tile(5.0, 2.0), kept)
    Kept(kept.path, "digest").write({"another": "1x1"})  # by another process, meanwhile
    tune(*model, device, rounds=1)
    assert kept.read()["another"] == "1x1" and len(kept.read()) > 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "7", '{"kernels": "digest"}', '{"kernels": "digest", "names": {"a": 1}}'],
)
def test_a_damaged_file_is_ignored_with_one_warning(kept, caplog, text):
    kept.path.parent.mkdir()
    kept.path.write_text(text)
    with caplog.at_level(logging.WARNING):
        device = Timed(None, kept)
    assert device.choices.names == {}
    (record,) = caplog.records
    assert f"{kept.path} cannot be read" in record.getMessage()


def test_choices_of_other_kernels_and_names_of_no_way_are_not_taken(model, kept):
    device = Timed(None, kept)
    what = dict.fromkeys(questions(model, device, "fp16"), "32x32 / 99")
    Kept(kept.path, "older").write(what)
    assert Timed(None, kept).choices.names == {}
    kept.write(what)
    other = Timed(None, kept)
    assert other.choices.names == what
    names = [[k.name for k in launches_of(compile(*model, one))] for one in (device, other)]
    assert names[0] == names[1]


def test_where_nothing_can_be_written_choices_hold_till_the_end(model, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    kept = Kept(tmp_path / "file" / "below" / "gpu.json", "digest")
    device = Timed(by_tile(5.0, 2.0), kept)
    caplog.clear()
    assert tune(*model, device, rounds=1).kept and device.choices.names
    assert "cannot be written" in caplog.records[-1].getMessage()


def test_each_gpu_and_each_source_has_choices_of_its_own(tmp_path):
    sources = [source(file) for file in TUNED]
    one = place(tmp_path, "NVIDIA H200", 90, 132, sources)
    assert one.path.name == "NVIDIA-H200-90-132.json"
    for other in (("NVIDIA H100", 90, 132), ("NVIDIA H200", 89, 132), ("NVIDIA H200", 90, 114)):
        assert place(tmp_path, *other, sources).path != one.path
    assert place(tmp_path, "NVIDIA H200", 90, 132, [*sources[:2], "edited"]).kernels != one.kernels


def other_tiles(asked):
    """Return for each question a way whose block has other pixels than the estimate's."""
    found = {}
    for what, question in asked.items():
        first, *others = question.ways().items()
        pixels = first[0].split("x")[0]
        names = [name for name, _ in others if name.split("x")[0] == "32" != pixels]
        found[what] = (names or [name for name, _ in others if not name.startswith(pixels)])[0]
    return found


def test_a_tuned_plan_gives_the_same_to_rounding(model):
    device = HostDevice(np, RawModule, **SIZES)
    changed = other_tiles(questions(model, device))
    x = np.random.default_rng(1).random((1, *model[0].image), np.float32)
    plans = [
        compile(*model, one, precision="fp32")
        for one in (device, device.choosing(Choices(changed)))
    ]
    tiles = [[k.name for k in convolutions(launches_of(plan))] for plan in plans]
    assert all(a != b for a, b in zip(*tiles, strict=True))
    (before,), (after,) = (plan(x).values() for plan in plans)
    np.testing.assert_allclose(after, before, rtol=0, atol=2e-6 * abs(before).max())  # other orders


def step(model, device):
    """Return a step's plan and what it gives, forward and back."""
    network, params = model
    params = [{key: one.copy() for key, one in own.items()} for own in params]
    home = DeviceOptimizer(device, Optimizer(network, params, kernels.ops("cpu")))
    made = CudaStepPlan(network, params, room=CudaTraining(device, "fp32", home, network, params))
    x = np.random.default_rng(1).random((2, *network.image), np.float32)
    (y,) = made.forward(x).values()
    deltas = np.random.default_rng(2).standard_normal(y.shape).astype(np.float32)
    made.backward({network.heads[0].index: deltas})
    return made.plan(2), (y, device.download(home.grads), device.download(home.params))


def test_statistics_and_gradients_of_a_tuned_step_are_the_same_to_rounding(model):
    device, asked = HostDevice(np, RawModule, **SIZES), Asked()
    before, wanted = step(model, device.choosing(asked))
    changed = other_tiles(asked.questions)
    assert {what.split()[0] for what in changed} > {"weights"}
    after, found = step(model, device.choosing(Choices(changed)))
    for a, b in zip(*(convolutions(launches_of(plan)) for plan in (before, after)), strict=True):
        assert (a.name, a.grid) != (b.name, b.grid)
    for ours, theirs in zip(found, wanted, strict=True):  # three layers normalise over 126 pixels
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * abs(theirs).max())


def test_no_way_of_fp32_sums_more_than_tensor_cores_add_well():
    device, asked = Timed(None), Asked()
    x, dy = device.map((1, 8, 100, 100), "float"), device.map((1, 40, 100, 100), "float")
    how = {"stride": (1, 1), "padding": 0, "dilation": 1}
    for precision in ("fp32", "tf32"):
        dense_weight_grad(
            device.choosing(asked), device.zeros(320, np.float32), dy, x,
            size=1, precision=precision, **how,
        )  # fmt: skip
    wide, narrow = (one.ways() for one in asked.questions.values())
    steps = 100 * 100 // 16
    assert min(splits for _, splits in wide.values()) == -(-steps // MOST)
    assert min(splits for _, splits in narrow.values()) < -(-steps // MOST)
    assert {tile for tile, _ in wide.values()} < {tile for tile, _ in narrow.values()}


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """Let this machine have a GPU, and a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "cupy", cupy())
    monkeypatch.setattr(cuda, "refusal", lambda device: "")
    monkeypatch.setattr(cuda, "installed", lambda: [("cupy-cuda13x", "14.2.0", 13)])
    kernels._opened.cache_clear()
    yield
    kernels._opened.cache_clear()


def faked(monkeypatch, spends):
    monkeypatch.setattr(Device, "build", Timed.build)
    monkeypatch.setattr(Device, "bind", Timed.bind)
    monkeypatch.setattr(Device, "timer", lambda self, launches, times: lambda: spends(launches))


def run(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return stop.value.code, *capsys.readouterr()


def test_the_command_line(gpu, monkeypatch, capsys, tmp_path):
    folder = write_model(tmp_path)
    faked(monkeypatch, by_tile(5.0, 2.0))
    words = ("tune", folder / "tiny.cfg", folder / "tiny.weights", "-i", 0)
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "") and "fp16" in out and "from now on" in out
    (file,) = (tmp_path / "cache" / "darkpy" / "kernels" / "gpu").iterdir()
    assert file.name == "Stand-in-GPU-90-8.json"
    count = len(json.loads(file.read_text())["names"])
    code, out, _ = run(capsys, *words, "--json", "-", "--precision", "bf16")
    found = json.loads(out)
    assert (found["device"], found["precision"], found["kept"]) == ("cuda:0", "bf16", True)
    code, out, _ = run(capsys, *words, "--forget")
    assert (code, f"choices for {count} shapes" in out) == (0, True)
    code, _, err = run(capsys, *words, "--strict", "--precision", "fp16")
    assert code == 2 and "strict arithmetic takes precision 'fp32'" in err
    code, _, err = run(capsys, *words[:3], "-i", -1, "--precision", "bf16")
    assert code == 2 and "bf16" in err


def test_training_is_tuned_too(gpu, monkeypatch, capsys, tmp_path):
    folder = write_model(tmp_path, cfg=CFG.replace("[net]", "[net]\nbatch=6\nsubdivisions=2"))
    faked(monkeypatch, lambda launches: float(sum(k.grid[0] for k in convolutions(launches))))
    words = ("tune", folder / "tiny.cfg", "-i", 0, "--training")
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "") and "@3072 tf32" in out  # 3 pictures of 32 x 32
    assert sum(line.startswith("weights") for line in out.splitlines()) == 3
    assert "@1024" in run(capsys, *words, "--batch", 1, "--precision", "fp16")[1]
    code, out, _ = run(capsys, *words, "--forget")
    assert code == 0 and "are forgotten" in out
    (tmp_path / "net.cfg").write_text(NET)
    code, _, err = run(capsys, "tune", tmp_path / "net.cfg", "-i", 0, "--training")
    assert code == 2 and "no layer has a loss" in err
    code, _, err = run(capsys, *words[:2], "-i", -1, "--training")
    assert code == 2 and "nothing to tune on a processor" in err


def test_a_detector_tunes_itself(gpu, monkeypatch, tmp_path):
    folder = write_model(tmp_path)
    detector = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", device="cuda:0")
    faked(monkeypatch, by_tile(5.0, 2.0))
    plan = detector.plan
    assert detector.tune(rounds=1).kept and detector.plan is not plan
    assert all(map(is_small, convolutions(launches_of(detector.plan))))
    with pytest.raises(DeviceError, match="cannot be measured"):
        detector.tune_aside()


def test_a_tuning_from_end_to_end(gpu, model, monkeypatch):
    few = sys.modules[ranked.__module__]
    monkeypatch.setattr(few, "TILES", few.TILES[-2:])  # fewer to be compiled
    ranked.cache_clear()
    found = tune(*model, "cuda:0", precision="fp32", rounds=1)
    ranked.cache_clear()
    assert found.old > 0 and found.new > 0
    assert all(one.old > 0 and one.new > 0 for one in found.layers)
    changed = {one.layer: str(one.after) for one in found.layers if one.before != one.after}
    assert kernels.gpu("cuda:0").choices.names == (changed if found.kept else {})
