"""Time steps of training: forward, loss, backward and update, beside PyTorch where it is.

    scripts/bench train [CFG...] [--peers torch,torch_channels_last] [--python PYTHON] [--json FILE]

Engines take turns as in bench_detect.py, each in a process of its own, and what feeds the heads is
compared before anything is timed. PyTorch gets the same layers, and gradients of the heads without
a loss; darkpy computes its loss, of 10 objects a picture. No pictures are loaded: `bench_loader.py`
times that.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
sys.path[:0] = [str(ROOT), str(HERE)]

import subject  # noqa: E402
import turns  # noqa: E402
from bench_detect import cfg, paths, probed, pythons  # noqa: E402
from machine import described  # noqa: E402
from results import json_text, markdown, table  # noqa: E402
from turns import OURS  # noqa: E402

from darkpy.kernels.cpu.threads import CORES  # noqa: E402
from darkpy.network import Network  # noqa: E402

DEFAULT = ("yolov3-tiny", "yolo-fastest-1.1-xl")
PEERS = ("torch", "torch_channels_last")
PASSES = 3  # forward, and back to the weights and to the input: each as many multiply-adds
# Relative difference of outputs to darkpy's beyond which none is timed. PyTorch divides by m where
# darknet has m - 1 in its variances: 4e-4 for yolov3-tiny, .05 through 84 layers of Yolo-Fastest
MOST = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("cfg", nargs="*", help=f"default: {' '.join(DEFAULT)} of cfg/")
    add("--peers", type=names, default=PEERS, help=f"of {','.join(PEERS)}; default: all")
    add("--python", type=paths, default=pythons(), metavar="PYTHON[,PYTHON]",
        help="that have the peers; default: that of benchmarks/.venv, or this one")  # fmt: skip
    add("--threads", type=int, default=CORES)
    add("--batch", type=int, default=8, help="pictures of a step; times are those of one picture")
    add("--rounds", type=int, default=7)
    add("--seconds", type=float, default=0.5, help="that a turn lasts, about: two steps at least")
    add("--size", type=int, help="side of the input instead of the cfg's own")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    add("--markdown", nargs="?", type=Path, const=HERE / "results", metavar="FOLDER",
        help="write DATE-training.md there; default: benchmarks/results")  # fmt: skip
    add("--lock", type=Path, metavar="FILE", help="held in each round, as flock(1) does")
    add("--realtime", action="store_true", help="nothing else runs in a turn (Linux, root)")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1 or options.batch < 1:
        parser.error("--rounds, --threads and --batch: expected 1 at least")
    figures = {"machine": described(options.threads), "command": " ".join(sys.argv[1:])}
    figures |= {name: getattr(options, name) for name in ("batch", "rounds", "seconds")}
    figures |= {"base": OURS, "precision": "fp32", "script": "bench_train.py"}
    figures["networks"] = [
        measure(path, options) for path in options.cfg or [cfg(name) for name in DEFAULT]
    ]
    print(table(figures))
    if options.json:
        options.json.write_text(json_text(figures), "utf-8")
    if options.markdown:
        print(markdown(figures, options.markdown, "training"))


def names(text: str) -> tuple[str, ...]:
    """Return the peers of a list, in the order in which they stand in the table."""
    wanted = PEERS if text == "all" else tuple(filter(None, text.split(",")))
    unknown = [name for name in wanted if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}: expected some of {', '.join(PEERS)}")
    return tuple(name for name in PEERS if name in wanted)


def measure(path: str, options: argparse.Namespace) -> dict:
    """Return what is said of one network: its engines, those that are absent, the machine."""
    network = Network.from_cfg(path, size=(options.size,) * 2 if options.size else None)
    gflops = PASSES * 2e-9 * subject.macs(network)
    figures: dict = {
        "network": Path(path).stem,
        "input": "x".join(map(str, network.image)),
        "gflops": gflops,
        "weights": f"drawn, seed {subject.SEED}",
        "absent": {},
    }
    with tempfile.TemporaryDirectory() as passing, contextlib.ExitStack() as stack:
        folder = Path(passing)
        subject.write(folder, network, subject.drawn(network), options.batch)
        engines, figures["engines"] = start(folder, options, figures["absent"], stack)
        figures["before"] = probed(options)
        times = turns.rounds(
            engines, options.rounds, options.seconds, options.lock, options.realtime
        )
        figures["after"] = probed(options)
        for engine, row in zip(engines, figures["engines"], strict=True):
            row |= {"note": engine.note, **engine.ask("end")}
    for row in figures["engines"]:
        each = [time / options.batch for time in times[row["engine"]]]
        row |= turns.compared(each, [time / options.batch for time in times[OURS]])
        row["speed"] = 1e3 * gflops / row["median"]
        row["share"] = row["speed"] / max(figures["before"]["peak"], figures["after"]["peak"])
        row["times"] = each
    return figures


def start(
    folder: Path,
    options: argparse.Namespace,
    absent: dict[str, str],
    stack: contextlib.ExitStack,
) -> tuple[list[turns.Engine], list[dict]]:
    """Start the engines; return those that compute what darkpy does, and a row for each.

    absent  why others do not take part: filled here
    """
    engines, rows = [], []
    truth: list[np.ndarray] = []
    for name in (OURS, *options.peers):
        having = [sys.executable] if name == OURS else options.python
        engine, said = turns.first(name, having, folder, (), options.threads, "steppers.py")
        if "absent" in said:
            absent[name] = said["absent"]
            continue
        stack.callback(engine.end)
        engine.ask("outputs")
        found = turns.outputs(folder, name)
        truth = truth or found
        said["difference"] = turns.difference(found, truth)
        if not said["difference"] <= MOST:
            absent[name] = f"refused: its outputs differ by {said['difference']:.1e}"
            continue
        engines.append(engine)
        rows.append(said)
    return engines, rows


if __name__ == "__main__":
    main()
