"""Time whole commands by what a picture adds to them, beside the network alone.

    scripts/bench command [CFG] [--weights FILE] [--folder FOLDER] [--json FILE]

`darkpy detector test` and `map` run as a user starts them, on a list of pictures and on the same
list twice: the difference is what so many pictures take, the rest is the start. Network and
commands take turns, and medians count. Below, the processor's time of each part, alone.

Without a folder (its label files beside the pictures), 32 pictures of 640 x 480 are made. Without
weights they are drawn, with heads that find little, as trained ones do.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import subject  # noqa: E402
from bench_loader import made  # noqa: E402
from machine import described  # noqa: E402
from results import json_text  # noqa: E402
from turns import alone, held  # noqa: E402

import darkpy  # noqa: E402
from darkpy.data.dataset import read_truths  # noqa: E402
from darkpy.data.image import read_image  # noqa: E402
from darkpy.data.sources import pictures_in  # noqa: E402
from darkpy.detect import Detector  # noqa: E402
from darkpy.evaluate.match import match  # noqa: E402
from darkpy.evaluate.pictures import GROUP, even  # noqa: E402
from darkpy.evaluate.report import NMS, THRESH  # noqa: E402
from darkpy.network import Network  # noqa: E402
from darkpy.weights import write_weights  # noqa: E402

COMMANDS = {
    "test": ["{list}.txt", "-dont_show", "-out", "found.json"],
    "map": [],
}
RARE = {4: 8.0}  # what is taken from the objectness before it is made a probability; 4 from others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("cfg", nargs="?", default=str(ROOT / "cfg" / "yolov3-tiny.cfg"))
    add("--weights", type=Path, help="a .weights file instead of drawn ones")
    add("--folder", type=Path, help="of pictures, their labels beside or in ../labels")
    add("--pictures", type=int, default=128, help="of the list; taken again where there are fewer")
    add("--rounds", type=int, default=3)
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    add("--lock", type=Path, metavar="FILE", help="held in each round, as flock(1) does")
    add("--realtime", action="store_true", help="nothing else runs meanwhile (Linux, root)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        figures = measure(Path(passing), options)
    print(table(figures))
    if options.json:
        options.json.write_text(json_text(figures), "utf-8")


def measure(folder: Path, options: argparse.Namespace) -> dict:
    """Return milliseconds a picture of the network and of each command, and of their parts."""
    detector = prepare(folder, options)
    paths = (folder / "1.txt").read_text().split("\n")[:-1]
    times: dict[str, list[float]] = {name: [] for name in ("one", "network", *COMMANDS)}
    starts: dict[str, list[float]] = {name: [] for name in COMMANDS}
    x = np.stack([detector.prepare(read_image(path)) for path in paths[:GROUP]])
    x = x[: even(even(len(paths), GROUP), detector.at_once)]
    detector.forward(x[0])
    detector.forward_all(x)
    for name in COMMANDS:
        command(folder, options, name, 1)
    for _ in range(options.rounds):
        with held(options.lock), alone(os.getpid() if options.realtime else 0):
            times["one"].append(clock(lambda: detector.forward(x[0]), len(paths)))
            calls = -(-len(paths) // len(x))
            times["network"].append(clock(lambda: detector.forward_all(x), calls) / len(x))
        for name in COMMANDS:
            with held(options.lock):
                once, twice = (command(folder, options, name, lists) for lists in (1, 2))
            times[name].append(1e3 * (twice - once) / len(paths))
            starts[name].append(2 * once - twice)
    return {
        "machine": described(detector.plan.threads if detector.planned else 1),
        "network": Path(options.cfg).stem,
        "pictures": len(paths),
        "at once": len(x),
        "ms": {name: statistics.median(found) for name, found in times.items()},
        "ratio": {
            name: statistics.median(
                a / b for a, b in zip(times[name], times["network"], strict=True)
            )
            for name in COMMANDS
        },
        "start": {name: statistics.median(found) for name, found in starts.items()},
        "parts": parts(detector, paths, x),
    }


def prepare(folder: Path, options: argparse.Namespace) -> Detector:
    """Write what the commands read; return the detector."""
    network = Network.from_cfg(options.cfg)
    weights = options.weights or folder / "drawn.weights"
    if not options.weights:
        params = subject.drawn(network)
        for node in network.heads:
            biases = params[node.inputs[0]]["biases"]
            entries = np.arange(len(biases)) % (len(biases) // len(node.layer.priors))
            biases -= np.array([RARE.get(k, 4.0 if k > 4 else 0.0) for k in entries], np.float32)
        write_weights(network, params, weights)
    if not options.folder:
        (folder / "made").mkdir()
    found = [str(one) for one in pictures_in(options.folder or made(folder / "made"))]
    paths = (found * -(-options.pictures // len(found)))[: options.pictures]
    detector = darkpy.load(options.cfg, weights)
    (folder / "names").write_text("".join(f"{k}\n" for k in range(detector.classes)))
    for times in (1, 2):
        (folder / f"{times}.txt").write_text("".join(f"{path}\n" for path in paths * times))
        (folder / f"{times}.data").write_text(f"valid = {times}.txt\nnames = names\n")
    options.model = [str(Path(options.cfg).resolve()), str(weights.resolve())]
    return detector


def command(folder: Path, options: argparse.Namespace, name: str, lists: int) -> float:
    """Return the seconds of a command on so many lists."""
    words = [one.format(list=lists) for one in COMMANDS[name]]
    call = [sys.executable, "-m", "darkpy", "detector", name, f"{lists}.data", *options.model]
    before = ["chrt", "-f", "1"] if options.realtime else []
    start = time.perf_counter()
    subprocess.run(
        [*before, *call, *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - start


def clock(call, times: int) -> float:
    """Return the milliseconds of a call."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return 1e3 * (time.perf_counter() - start) / times


def parts(detector: Detector, paths: list[str], x: np.ndarray) -> dict[str, float]:
    """Return milliseconds a picture of all processors together, for each part of the commands."""
    spent: dict[str, float] = {}

    @contextlib.contextmanager
    def part(name: str):
        start = time.process_time()
        yield
        spent[name] = 1e3 * (time.process_time() - start) / len(paths)

    with part("network"):
        for _ in range(0, len(paths), len(x)):
            detector.forward_all(x)
    with part("read and decode"):
        images = [read_image(path) for path in paths]
    inputs = np.ones((len(images), *detector.network.image), np.float32)  # memory that is there
    with part("resize"):
        for image, one in zip(images, inputs, strict=True):
            detector.prepare(image, out=one)
    outputs = [detector.forward(one) for one in inputs]
    sizes = [(image.shape[1], image.shape[0]) for image in images]
    with part("boxes for map"):
        found = [
            detector.decode(one, size, THRESH, nms=NMS)
            for one, size in zip(outputs, sizes, strict=True)
        ]
    truths = read_truths(paths)
    with part("match"):
        for one, rows in zip(found, truths, strict=True):
            match(one.boxes, one.probs, rows)
    with part("boxes for test"):
        for one, size in zip(outputs, sizes, strict=True):
            detector.decode(one, size, 0.25)
    return spent


def table(figures: dict) -> str:
    """Return the figures for a terminal."""
    ms, machine = figures["ms"], figures["machine"]
    lines = [
        f"{machine['processor']}, {machine['threads']} threads, numpy {machine['numpy']}",
        f"{figures['network']}, {figures['pictures']} pictures",
        f"{'':24}{'ms a picture':>14}{'to network':>12}{'start s':>9}",
        f"{'network, one at a time':24}{ms['one']:14.2f}",
        f"{'network, ' + str(figures['at once']) + ' at once':24}{ms['network']:14.2f}{1:12.2f}",
    ]
    for name, ratio in figures["ratio"].items():
        start = figures["start"][name]
        lines.append(f"{'detector ' + name:24}{ms[name]:14.2f}{ratio:12.2f}{start:9.2f}")
    lines += ["processor's time of each part, alone:"]
    lines += [f"{name:24}{spent:14.2f}" for name, spent in figures["parts"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
