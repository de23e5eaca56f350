"""Check the CUDA kernels on a GPU, and time layers, networks and training beside PyTorch.

    scripts/bench gpu [CFG...] [--batches 1,8,32] [--minutes 8] [--json FILE] [--chart FILE]
    scripts/bench gpu --host cfg/yolov3-tiny.cfg --size 64 --batches 1

It needs no network, and stops when its minutes are over with what it has. With --host kernels run
on the CPU (tests/hostcuda), which shows that all of this works; the times are of no use then.
"""

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
sys.path[:0] = [str(ROOT), str(HERE)]

import subject  # noqa: E402

from darkpy.errors import DeviceError  # noqa: E402
from darkpy.kernels import gpu, launchers, ops  # noqa: E402
from darkpy.kernels.cuda.convolve import HOPPER_TILES, TILES  # noqa: E402
from darkpy.kernels.cuda.device import HOPPER, TYPES, Device, Launch  # noqa: E402
from darkpy.network import Network  # noqa: E402
from darkpy.plan.cuda import CudaPlan, compile  # noqa: E402
from darkpy.plan.cuda.step import CudaStepPlan, CudaTraining  # noqa: E402
from darkpy.plan.trace import Op, Value  # noqa: E402
from darkpy.train.device_optimizer import DeviceOptimizer  # noqa: E402
from darkpy.train.optimizer import Optimizer  # noqa: E402
from tests.hostcuda.on_gpu import VARIABLE  # noqa: E402

Call = Callable[[], None]
DEFAULT = ("yolov4-tiny", "yolov3-tiny", "yolov3", "yolov4", "yolo-fastest-1.1")
CHECKED = (
    "tests/kernels/cuda",
    *sorted(ROOT.glob("tests/plan/test_cuda*.py")),
    "tests/train/test_device_optimizer.py",
    "tests/test_real_gpu.py",
    "tests/test_forward_oracle.py::test_a_gpu_agrees_with_the_c_program",  # where its numbers are
    "tests/hostcuda/test_kernels.py",
)
AGAIN = "tests/test_real_gpu.py::test_every_kernel_is_right_there"  # runs the others once more
LEAST = 2e-3  # seconds that a timed call should take: small ones are repeated within it
MOST_REPEATS = 50
TRIED_SPLITS = (1, 2, 4, 8)
SHARES = {"checks": 0.4, "networks": 0.6, "training": 0.75, "layers": 1}  # of the time, by its end


def main() -> None:
    options = arguments()
    start, seconds = time.monotonic(), 60 * options.minutes
    ends = {name: start + share * seconds for name, share in SHARES.items()}
    figures: dict[str, Any] = {"command": " ".join(sys.argv[1:]), "precision": options.precision}
    figures["errors"] = []
    device = opened(options.host)
    figures["checks"] = checks(options, ends["checks"] - start)
    bench = Bench(options, device)
    figures |= {"device": described(device, options.host), "ceilings": bench.most}
    print(about(figures), flush=True)
    for part, measure in (
        ("networks", bench.network),
        ("training", bench.training),
        ("layers", bench.layers),
    ):
        figures[part] = []
        for batch, path in product(options.batches, options.cfg):
            if time.monotonic() > ends[part]:
                print(f"{part}: no time for {path.stem} at {batch} and what follows")
                break
            try:
                for row in measure(path, batch):
                    figures[part].append(row)
                    print(line(part, row), flush=True)
            except Exception as error:  # a GPU is lent for minutes: the rest is still measured
                figures["errors"].append(f"{part}: {path.stem} at {batch}: {error!r}")
                traceback.print_exc()
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), "utf-8")
    if options.chart:
        chart(figures, options.chart)
    if figures["checks"]["failed"] or figures["errors"]:
        raise SystemExit("the kernels are wrong here, or something failed: see above")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("cfg", nargs="*", type=Path, help=f"default: {' '.join(DEFAULT)} of cfg/")
    add("--host", action="store_true", help="kernels run on the CPU, as in tests; PyTorch does not")
    add("--batches", type=lambda text: [int(one) for one in text.split(",")], default=[1, 8, 32])
    add("--size", type=int, help="side of the input instead of the cfg's own")
    add("--precision", choices=("fp16", "bf16"), default="fp16")
    add("--rounds", type=int, default=7, help="of turns; medians are shown")
    add("--minutes", type=float, default=8)
    add("--no-checks", action="store_true")
    add("--tiles", action="store_true", help="time convolutions by every tile, too")
    add("--json", type=Path, metavar="FILE")
    add("--chart", type=Path, metavar="FILE", help="draw the figures there")
    options = parser.parse_args()
    options.cfg = options.cfg or [ROOT / "cfg" / f"{name}.cfg" for name in DEFAULT]
    if options.rounds < 1 or min(options.batches) < 1:
        parser.error("--rounds and --batches: expected 1 at least")
    return options


def opened(host: bool) -> Device:
    """Return the GPU, or the CPU in its place; leave if there is none."""
    if not host:
        try:
            return gpu("cuda:0")
        except DeviceError as error:
            raise SystemExit(f"nothing to measure: {error}") from None
    from tests.hostcuda.device import host_device

    return host_device()


def peer() -> Any:
    """Return PyTorch's side, if it is here and sees the GPU."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    import torch_gpu

    return torch_gpu


def described(device: Device, host: bool) -> dict[str, Any]:
    name = "the CPU, in a GPU's place"
    if not host:
        name = device.xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return {"name": name, "arch": device.arch, "processors": device.processors}


def checks(options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Run the tests of the kernels, on the GPU unless on the host; each compares with float64."""
    if options.no_checks:
        return {"said": "not run", "failed": False}
    words = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
    if importlib.util.find_spec("xdist"):
        words += ["-n", str(min(8, os.cpu_count() or 1))]
    where = CHECKED[-1:] if options.host else CHECKED
    environment = dict(os.environ)
    if not options.host:
        environment[VARIABLE] = "1"
    try:
        done = subprocess.run(
            [*words, *where, "--deselect", AGAIN], cwd=ROOT, env=environment, timeout=seconds,
            capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"said": f"not done within {seconds:.0f} s", "failed": True}
    lines = (done.stdout.strip() or done.stderr.strip() or "nothing").splitlines()
    wrong = [one for one in lines if one.startswith(("FAILED", "ERROR"))]
    print("\n".join(wrong[:40]))
    failed = done.returncode != 0 or " passed" not in lines[-1]  # all skipped is not well
    return {"said": lines[-1], "wrong": wrong, "failed": failed}


def ceilings(torch: Any, options: argparse.Namespace) -> dict[str, float]:
    """Return the bytes and operations a second that this GPU reaches, or nothing."""
    if torch is None:
        return {}
    copied = 20 * 2 * 4 * (1 << 28)
    multiplied = 10 * 2 * 8192**3
    return {
        "bytes": copied / timed({"": torch.copying()}, options.rounds)[""],
        "flops": multiplied / timed({"": torch.product(options.precision)}, options.rounds)[""],
    }


def about(figures: dict[str, Any]) -> str:
    """Return what holds for all rows."""
    device, most = figures["device"], figures["ceilings"]
    lines = [f"{device['name']}, {device['processors']} processors, {figures['precision']}"]
    lines += [f"checks: {figures['checks']['said']}"]
    if most:
        speeds = most["bytes"] / 1e12, most["flops"] / 1e12
        lines += ["a copy {:.2f} TB/s, a product of matrices {:.0f} TFLOP/s".format(*speeds)]
    return "\n".join(lines)


def timed(calls: dict[str, Call], rounds: int) -> dict[str, float]:
    """Return the median seconds of calls that take turns; each ends when its work is done."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):  # the first one loads what is needed, and does not count
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


class Bench:
    """What is measured, and where.

    Attributes: ``device``; ``torch``, PyTorch's side or None; ``most``, the ceilings of the GPU.
    """

    def __init__(self, options: argparse.Namespace, device: Device) -> None:
        self.options = options
        self.device = device
        self.torch = None if options.host else peer()
        self.most = ceilings(self.torch, options)
        self.plan = cache(self._plan)
        self.read = cache(self._read)
        self._known: set[Any] = set()

    def _read(self, path: Path) -> tuple[Network, list[dict[str, np.ndarray]]]:
        """Return a network, and parameters."""
        size = self.options.size
        network = Network.from_cfg(path, (size, size) if size else None)
        return network, subject.drawn(network)

    def _plan(self, path: Path, batch: int) -> CudaPlan:
        """Return the inference of a network without its heads."""
        network, params = self.read(path)
        how = {"batch": batch, "precision": self.options.precision}
        return compile(subject.raw(network), params, self.device, **how)

    def network(self, path: Path, batch: int) -> Iterator[dict[str, Any]]:
        """Time a whole network: its launches as a graph, a call with copies, and PyTorch."""
        network, params = self.read(path)
        x, plan = pictures(network, batch), self.plan(path, batch)
        found = plan(x)
        launches = [one for _, own in plan.launches for one in own]
        count = self.repeats(launches)
        calls = {"darkpy": self.graph(launches, count), "call": lambda: plan(x)}
        if self.torch is None:
            truth = subject.truth(network, params, x)
        else:
            arrays = {
                f"{index}.{name}": array
                for index, pair in subject.folded(network, params).items()
                for name, array in zip(("weights", "biases"), pair, strict=True)
            }
            theirs = self.torch.Inference(network, arrays, self.options.precision)
            truth = theirs.truth(x)
            calls |= theirs.calls(x, count)
        times = timed(calls, self.options.rounds)
        for name in ("darkpy", "torch graph"):
            if name in times:
                times[name] /= count
        outs = list(found.values())
        pairs = [(one, other.reshape(one.shape)) for one, other in zip(outs, truth, strict=True)]
        differs = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
        yield self.whole(path, x, plan, times) | {"differs": differs}

    def training(self, path: Path, batch: int) -> Iterator[dict[str, Any]]:
        """Time a step of training without its loss: forward, back, update."""
        network, params = self.read(path)
        x = pictures(network, batch)
        raw = subject.raw(network)
        home = DeviceOptimizer(self.device, Optimizer(raw, params, ops("cpu")))
        room = CudaTraining(self.device, self.options.precision, home, raw, params)
        plan = CudaStepPlan(raw, params, room=room).plan(batch)
        plan.advance({"image": x})
        home.begin(1e-6, batch, 1)
        launches = [one for _, own in plan.launches for one in own]
        calls = {"darkpy": self.graph([*launches, *home.launches()])}
        if self.torch is not None:
            calls |= self.torch.training(network, params, x, self.options.precision)
        yield self.whole(path, x, plan, timed(calls, self.options.rounds))

    def layers(self, path: Path, batch: int) -> Iterator[dict[str, Any]]:
        """Time each distinct op of a network by itself, and convolutions beside PyTorch's."""
        plan = self.plan(path, batch)
        plan(pictures(self.read(path)[0], batch))
        for op, launches in plan.launches:
            if not launches or identity(op) in self._known:
                continue
            self._known.add(identity(op))
            count = self.repeats(launches)
            calls = {"darkpy": self.graph(launches, count)}
            if self.torch is not None and op.kind == "convolve":
                shapes = tuple(op.inputs[0].shape), op.numbers["w"].shape
                how = {name: op.numbers[name] for name in CONVOLUTION}
                made = self.torch.convolution(*shapes, how, self.options.precision, count)
                calls["torch graph"] = made
            times = timed(calls, self.options.rounds)
            flops, moved = work(op)
            yield {
                "network": path.stem,
                "batch": batch,
                "op": op.kind,
                "what": what(op),
                "kernel": launches[-1].name,
                "grid": launches[-1].grid,
                "gflop": flops / 1e9,
                "mbytes": moved / 1e6,
                "floor": self.floor(flops, moved),
                "ms": {name: 1e3 * taken / count for name, taken in times.items()},
                "tiles": self.tiles(plan, op, launches[-1]) if self.options.tiles else {},
            }

    def tiles(self, plan: CudaPlan, op: Op, launch: Launch) -> dict[str, float]:
        """Return the milliseconds of a convolution by each tile and number of splits."""
        if not launch.name.startswith("convolve"):
            return {}
        n, most = op.numbers, self.device.most_shared
        maps = [plan.at(op.outputs[0]), plan.at(op.inputs[0]), *launch.args[1:3]]
        maps += [plan.at(op.inputs[1])] if n["residual"] != "none" else []
        how = {name: n[name] for name in CONVOLUTION} | {"size": n["w"].shape[2]}
        how |= {"repeat": n.get("repeat", 1), "residual_first": n["residual"] == "before"}
        known = TILES + HOPPER_TILES * (self.device.arch == HOPPER)
        tried = {
            f"{tile.kernel} {tile.name} x {splits}": launchers().convolve(
                self.device, *maps, **how, precision=plan.precision, tile=tile, splits=splits
            )
            for tile, splits in product(known, TRIED_SPLITS)
            if tile.shared <= most
        }
        self.device.build([one for launches in tried.values() for one in launches])
        count = self.repeats([launch])
        calls = {name: self.graph(launches, count) for name, launches in tried.items()}
        return {name: 1e3 * taken / count for name, taken in timed(calls, 3).items()}

    def graph(self, launches: Sequence[Launch], count: int = 1) -> Call:
        """Return launches, so often, as one call."""
        return self.device.capture(self.device.bind(launches) * count)

    def repeats(self, launches: Sequence[Launch]) -> int:
        """Return how often launches are repeated within a call that is timed."""
        if self.options.host:
            return 1
        taken = timed({"": self.graph(launches)}, 1)[""]
        return max(1, min(MOST_REPEATS, math.ceil(LEAST / taken)))

    def whole(
        self, path: Path, x: np.ndarray, plan: CudaPlan, times: dict[str, float]
    ) -> dict[str, Any]:
        """Return the row of a whole network."""
        flops, moved = (sum(work(op)[i] for op, _ in plan.launches) for i in (0, 1))
        return {
            "network": path.stem,
            "input": f"{x.shape[2]}x{x.shape[3]}",
            "batch": len(x),
            "launches": sum(len(own) for _, own in plan.launches),
            "gflop": flops / 1e9,
            "mbytes": moved / 1e6,
            "floor": self.floor(flops, moved),
            "ms": {name: 1e3 * taken for name, taken in times.items()},
        }

    def floor(self, flops: float, moved: float) -> float | None:
        """Return the milliseconds in less of which nothing computes and moves so much here."""
        most = self.most
        return 1e3 * max(flops / most["flops"], moved / most["bytes"]) if most else None


def pictures(network: Network, batch: int) -> np.ndarray:
    """Return random pictures."""
    shape = (batch, network.image.c, network.image.h, network.image.w)
    return np.random.default_rng(0).random(shape, np.float32)


CONVOLUTION = ("stride", "padding", "dilation", "groups", "activation")


def identity(op: Op) -> tuple[Any, ...]:
    """Return what ops have in common that take the same time."""
    kept = {
        name: value.shape if isinstance(value, np.ndarray) else value
        for name, value in op.numbers.items()
        if name != "name" or op.kind != "take"
    }
    shapes = tuple(tuple(one.shape) for one in (*op.inputs, *op.outputs))
    return op.kind, shapes, repr(sorted(kept.items()))


def what(op: Op) -> str:
    """Return the sizes of an op in a few words."""
    sizes = ["x".join(map(str, one.shape)) for one in (*op.inputs[:1], *op.outputs[:1])]
    if op.kind != "convolve":
        return " -> ".join(sizes)
    w, n = op.numbers["w"].shape, op.numbers
    more = [f"k{w[2]}", f"s{n['stride'][0]}", n["activation"]]
    more += [f"g{n['groups']}"] * (n["groups"] > 1) + ["+"] * (n["residual"] != "none")
    return f"{sizes[0]} -> {w[0]} {' '.join(more)}"


def work(op: Op) -> tuple[float, float]:
    """Return the operations of an op, and the bytes of all that it reads and writes, once."""
    w = op.numbers.get("w")
    weights = [one for one in (w, *op.args) if isinstance(one, np.ndarray)]
    maps = [size(one) for one in (*op.inputs, *op.outputs)]
    flops = 0.0
    if op.kind in PRODUCTS:
        cells = op.inputs[0] if op.kind == "conv2d_weight_grad" or op.back else op.outputs[0]
        n, _, h, width = cells.shape
        taps = w.shape if w is not None else op.outputs[0].shape
        flops = 2.0 * n * h * width / op.numbers.get("repeat", 1) ** 2 * math.prod(taps)
    return flops, float(sum(maps) + sum(2 * one.size for one in weights))


PRODUCTS = ("convolve", "conv2d", "conv2d_input_grad", "conv2d_weight_grad", "input_grad")


def size(value: Value) -> int:
    """Return the bytes of a Value."""
    stored = value.root.stored
    return value.size * (np.dtype(TYPES[stored]).itemsize if stored else 4)


def line(part: str, row: dict[str, Any]) -> str:
    """Return a row for the terminal."""
    times = row["ms"]
    name = f"{row['op']} {row['what']}" if part == "layers" else f"{row['network']} {row['input']}"
    shown = [f"{engine} {1e3 * taken:.1f}" for engine, taken in times.items()]
    shown += [f"floor {1e3 * row['floor']:.1f}"] if row["floor"] else []
    more = [f"{row['gflop'] / times['darkpy']:.1f} TFLOP/s"]
    more += [f"differs by {row['differs']:.1e}"] if "differs" in row else []
    if row.get("tiles"):
        best = min(row["tiles"], key=row["tiles"].__getitem__)
        more += [f"best {best}: {1e3 * row['tiles'][best]:.1f} us"]
    return f"{part} b{row['batch']} {name}: {', '.join(shown)} us; {', '.join(more)}"


def chart(figures: dict[str, Any], path: Path) -> None:
    """Draw networks as bars beside PyTorch's, and layers under their roofs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    bars, roof = figure.subplots(1, 2)
    rows = figures["networks"][::-1]
    names = [one for one in ("darkpy", "torch graph", "torch eager") if _any(rows, one)]
    for i, name in enumerate(names):
        speeds = [1e3 * row["batch"] / row["ms"].get(name, math.inf) for row in rows]
        places = np.arange(len(rows)) + 0.8 * (len(names) - 1 - i) / max(len(names), 1)
        bars.barh(places, speeds, 0.8 / len(names), label=name)
    labels = [f"{row['network']} {row['input']} b{row['batch']}" for row in rows]
    bars.set_yticks(np.arange(len(rows)) + 0.3, labels, fontsize=7)
    bars.set_xscale("log")
    bars.set_xlabel("pictures a second", fontsize=8)
    for name in ("torch graph", "darkpy"):
        found = [row for row in figures["layers"] if row["gflop"] and name in row["ms"]]
        roof.loglog(
            [1e3 * row["gflop"] / row["mbytes"] for row in found],
            [row["gflop"] / row["ms"][name] for row in found],
            "o", ms=3, alpha=0.7, label=name,
        )  # fmt: skip
    if most := figures["ceilings"]:
        x = np.geomspace(1, 1e4)
        roof.plot(x, np.minimum(most["flops"], x * most["bytes"]) / 1e12, "k-", lw=1)
    roof.set_xlabel("operations a byte", fontsize=8)
    roof.set_ylabel("TFLOP/s of a convolution", fontsize=8)
    for panel in (bars, roof):
        panel.legend(fontsize=7)
        panel.tick_params(labelsize=7)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{figures['device']['name']}, {figures['precision']}", fontsize=9)
    figure.savefig(path, dpi=150)


def _any(rows: list[dict[str, Any]], name: str) -> bool:
    return any(name in row["ms"] for row in rows)


if __name__ == "__main__":
    main()
