"""Time steps of training: forward, loss, backward and update, beside PyTorch where it is.

    scripts/bench train [CFG...] [--batch 8] [--rounds 7] [--torch PYTHON] [--json FILE]

Each engine has a process of its own, so that the threads of none spin in another's way, and they
take turns, step after step; medians are shown. PyTorch gets the same layers, in its default
layout and in channels_last, and gradients of the heads without a loss; darkpy computes its loss,
of 10 objects a picture. No pictures are loaded: `bench_loader.py` times that.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from darkpy.network import Network  # noqa: E402

DEFAULT = ("yolov3-tiny", "yolo-fastest-1.1-xl")
ENGINES = ("darkpy", "torch", "torch channels_last")
REST = 0.3  # seconds; threads that have just computed spin for up to a fifth of one
OBJECTS = 10  # a picture
SGD = {"lr": 1e-6, "momentum": 0.9, "weight_decay": 5e-4}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cfg", nargs="*", help=f"default: {' '.join(DEFAULT)} of cfg/")
    parser.add_argument("--batch", type=int, default=8, help="pictures, in one mini-batch")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch", default=sys.executable, help="a Python that has PyTorch")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--engine", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    paths = options.cfg or [str(ROOT / "cfg" / f"{name}.cfg") for name in DEFAULT]
    if options.engine:
        serve(options.engine, paths[0], options.batch)
        return
    from machine import report

    report(
        lambda: [row for path in paths for row in measure(path, options)],
        f"{'network':24}{'input':>14}{'engine':>22}{'first s':>9}{'ms':>9}{'worst':>9}"
        f"{'pictures/s':>12}{'peak MB':>9}",
        lambda row: (
            f"{row['network']:24}{row['input']:>14}{row['engine']:>22}{row['first']:9.1f}"
            f"{row['median']:9.1f}{row['worst']:9.1f}{row['rate']:12.1f}{row['peak']:9.0f}"
        ),
        options.json,
    )


def measure(path: str, options: argparse.Namespace) -> list[dict]:
    """Return, per engine, seconds of the first step, milliseconds of the others, and memory."""
    engines = {name: Engine(name, path, options) for name in ENGINES}
    times: dict[str, list[float]] = {}
    for _ in range(options.rounds + 1):
        for name, engine in engines.items():
            time.sleep(REST)
            seconds = engine.step()
            if seconds is not None:
                times.setdefault(name, []).append(1e3 * seconds)
    shape = network(path, options.batch).image
    return [
        {
            "network": Path(path).stem,
            "input": "x".join(map(str, (options.batch, *shape))),
            "engine": name,
            "first": 1e-3 * first,
            "median": statistics.median(others),
            "worst": max(others),
            "rate": 1e3 * options.batch / statistics.median(others),
            "peak": engines[name].end(),
        }
        for name, (first, *others) in times.items()
    ]


class Engine:
    """A process that makes a step when a line comes, and answers with its seconds."""

    def __init__(self, name: str, path: str, options: argparse.Namespace) -> None:
        from darkpy.kernels.cpu.threads import CORES

        python = sys.executable if name == "darkpy" else options.torch
        command = [python, __file__, path, "--engine", name, "--batch", str(options.batch)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(CORES)},
        )

    def ask(self, line: str) -> str:
        """Return the answer, or nothing from a process that has ended: it lacks PyTorch."""
        try:
            print(line, file=self.process.stdin, flush=True)
        except OSError:
            return ""
        return self.process.stdout.readline()

    def step(self) -> float | None:
        answer = self.ask("step")
        return float(answer) if answer else None

    def end(self) -> float:
        """End the process; return the most memory that it had, in MB."""
        with self.process:
            return float(self.ask("end"))


def serve(engine: str, path: str, batch: int) -> None:
    """Make a step of training for each line that comes, until one says that it is the end."""
    if engine == "darkpy":
        step = darkpy_step(path, batch)
    else:
        step = torch_step(path, batch, channels_last=engine.endswith("channels_last"))
    for line in sys.stdin:
        if line.strip() == "end":
            print(peak_memory(), flush=True)
            return
        start = time.perf_counter()
        step()
        print(time.perf_counter() - start, flush=True)


def peak_memory() -> float:
    """Return the most memory this process has had, in MB; NaN where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def network(path: str, batch: int) -> Network:
    """Read a .cfg for mini-batches of so many pictures, with a rate that changes little."""
    settings = ("batch", batch), ("subdivisions", 1), ("learning_rate", SGD["lr"])
    return Network.from_cfg(path, settings=[f"net.{name}={value}" for name, value in settings])


def darkpy_step(path: str, batch: int) -> Callable[[], object]:
    from darkpy.train.trainer import Trainer

    trainer = Trainer(network(path, batch))
    rng = np.random.default_rng(0)
    images = rng.random((batch, *trainer.network.image), dtype=np.float32)
    truths = []
    for _ in range(batch):
        sizes = rng.uniform(0.05, 0.4, (OBJECTS, 2))
        centres = rng.uniform(sizes / 2, 1 - sizes / 2)
        classes = rng.integers(0, trainer.losing[0].layer.classes, (OBJECTS, 1))
        truths.append(np.hstack([classes, centres, sizes]).astype(np.float32))
    return lambda: trainer.step(images, truths)


def torch_step(path: str, batch: int, channels_last: bool) -> Callable[[], object]:
    try:
        import torch
    except ImportError:
        sys.exit(0)  # the table is without it
    from torch_graph import Graph

    torch.manual_seed(0)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    source = network(path, batch)
    model = Graph(source).to(memory_format=layout).train()
    images = torch.rand(batch, *source.image).contiguous(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    deltas: list = []

    def step() -> None:
        outputs = model(images)
        if not deltas:
            deltas.extend(1e-3 * torch.randn_like(output) for output in outputs)
        torch.autograd.backward(outputs, deltas)
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    main()
