"""Time whole networks beside other engines, from the input to what feeds the heads.

    scripts/bench detect [CFG...] [--peers openvino,ncnn] [--python PYTHON] [--json FILE]

Engines that PYTHON has installed take part, each in a process of its own; they take turns, round
after round, and what counts is the ratio of times within a round. Outputs are compared before
anything is timed. Networks are given drawn weights, which take as long as trained ones.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
sys.path[:0] = [str(ROOT), str(HERE)]

import subject  # noqa: E402
import to_ncnn  # noqa: E402
import turns  # noqa: E402
from machine import conditions, described  # noqa: E402
from results import chart, json_text, markdown, table  # noqa: E402
from turns import OURS  # noqa: E402

from darkpy.kernels.cpu.threads import CORES  # noqa: E402
from darkpy.network import Network  # noqa: E402
from darkpy.weights import read_weights  # noqa: E402

DEFAULT = ("yolov3-tiny", "yolov4-tiny", "yolo-fastest-1.1-xl", "yolov3")
PEERS = ("openvino", "onnxruntime", "ncnn", "opencv", "torch", "darknet")
ONNX = ("openvino", "onnxruntime")  # read it


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("cfg", nargs="*", help=f"default: {' '.join(DEFAULT)} of cfg/")
    add("--peers", type=names, default=(), help=f"of {','.join(PEERS)}; or all")
    add("--python", type=paths, default=pythons(), metavar="PYTHON[,PYTHON]",
        help="that have the peers; default: that of benchmarks/.venv, or this one")  # fmt: skip
    add("--darknet", type=Path, metavar="PATH", help="the C program")
    add("--threads", type=int, default=CORES)
    add("--batch", type=int, default=1, help="pictures at once; times are those of one picture")
    add("--precision", choices=("fp32", "bf16"), default="fp32")
    add("--rounds", type=int, default=9)
    add("--seconds", type=float, default=0.5, help="that a turn lasts, about")
    add("--size", type=int, help="side of the input instead of the cfg's own")
    add("--weights", type=Path, help="a .weights file instead of drawn ones")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    add("--chart", type=Path, metavar="FILE.png", help="draw them there; needs matplotlib")
    add("--markdown", nargs="?", type=Path, const=HERE / "results", metavar="FOLDER",
        help="write DATE-inference.md there; default: benchmarks/results")  # fmt: skip
    add("--without", action="store_true", help="time the peers alone, without darkpy")
    add("--lock", type=Path, metavar="FILE", help="held in each round, as flock(1) does")
    add("--realtime", action="store_true", help="nothing else runs in a turn (Linux, root)")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1 or options.batch < 1:
        parser.error("--rounds, --threads and --batch: expected 1 at least")
    figures = {"machine": described(options.threads), "command": " ".join(sys.argv[1:])}
    figures["base"] = "the first" if options.without else OURS
    figures |= {
        name: getattr(options, name) for name in ("batch", "precision", "rounds", "seconds")
    }
    figures["networks"] = [
        measure(path, options) for path in options.cfg or [cfg(name) for name in DEFAULT]
    ]
    print(table(figures))
    if options.json:
        options.json.write_text(json_text(figures), "utf-8")
    if options.chart:
        chart(figures, options.chart)
    if options.markdown:
        print(markdown(figures, options.markdown))


def names(text: str) -> tuple[str, ...]:
    """Return the peers of a list, in the order in which they stand in the table."""
    wanted = PEERS if text == "all" else tuple(filter(None, text.split(",")))
    unknown = [name for name in wanted if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}: expected some of {', '.join(PEERS)}")
    return tuple(name for name in PEERS if name in wanted)


def paths(text: str) -> list[str]:
    return text.split(",")


def pythons() -> list[str]:
    there = [HERE / ".venv" / one for one in ("bin/python", "Scripts/python.exe")]
    return [str(one) for one in there if one.exists()] or [sys.executable]


def cfg(name: str) -> str:
    return str(ROOT / "cfg" / f"{name}.cfg")


def measure(path: str, options: argparse.Namespace) -> dict:
    """Return what is said of one network: its engines, those that are absent, the machine."""
    side = options.size
    network = Network.from_cfg(path, size=(side, side) if side else None)
    params = read_weights(network, options.weights) if options.weights else subject.drawn(network)
    gflops = 2e-9 * subject.macs(network)
    figures: dict = {
        "network": Path(path).stem,
        "input": "x".join(map(str, network.image)),
        "gflops": gflops,
        "weights": str(options.weights or f"drawn, seed {subject.SEED}"),
    }
    with tempfile.TemporaryDirectory() as passing, contextlib.ExitStack() as stack:
        folder = Path(passing)
        subject.write(folder, network, params, options.batch)
        figures["absent"] = prepare(folder, network, options)
        truth = subject.truth(network, params, np.load(folder / "x.npy"))
        engines, figures["engines"] = start(folder, truth, options, figures["absent"], stack)
        figures["before"] = probed(options)
        times = turns.rounds(
            engines, options.rounds, options.seconds, options.lock, options.realtime
        )
        figures["after"] = probed(options)
        for engine, row in zip(engines, figures["engines"], strict=True):
            row |= {"note": engine.note, **engine.ask("end")}
    ours = times[OURS if OURS in times else next(iter(times))]
    for row in figures["engines"]:
        each = [time / options.batch for time in times[row["engine"]]]
        row |= turns.compared(each, [time / options.batch for time in ours])
        row["speed"] = 1e3 * gflops / row["median"]
        row["share"] = row["speed"] / max(figures["before"]["peak"], figures["after"]["peak"])
        row["times"] = each
    return figures


def probed(options: argparse.Namespace) -> dict[str, float]:
    with turns.held(options.lock), turns.alone(os.getpid() if options.realtime else 0):
        return conditions(options.threads)


def prepare(folder: Path, network: Network, options: argparse.Namespace) -> dict[str, str]:
    """Write the network in the forms that peers read; return why some of them cannot take part."""
    absent = {}
    if "ncnn" in options.peers:
        try:
            with np.load(folder / "folded.npz") as arrays:
                to_ncnn.write(folder, network, arrays)
        except ValueError as error:
            absent["ncnn"] = str(error)
    readers = [name for name in ONNX if name in options.peers]
    if readers:
        said = "none"
        for python in options.python:
            command = [python, str(HERE / "to_onnx.py"), str(folder)]
            done = subprocess.run(command, capture_output=True, text=True)
            said = "".join(done.stderr.strip().splitlines()[-1:])
            if not done.returncode:
                return absent
        absent |= dict.fromkeys(readers, f"no ONNX was written: {said}")
    return absent


def start(
    folder: Path,
    truth: list[np.ndarray],
    options: argparse.Namespace,
    absent: dict[str, str],
    stack: contextlib.ExitStack,
) -> tuple[list[turns.Engine], list[dict]]:
    """Start the engines; return those that compute the same, and a row for each.

    truth   the outputs to compare with
    absent  why others do not take part: those found here are added
    """
    engines, rows = [], []
    for name in options.peers if options.without else (OURS, *options.peers):
        if name in absent or (name == "darknet" and not options.darknet):
            absent.setdefault(name, "no --darknet PATH")
            continue
        words = ["--precision", options.precision]
        words += ["--program", str(options.darknet.resolve())] if name == "darknet" else []
        having = [sys.executable] if name in (OURS, "darknet") else options.python
        engine, said = turns.first(name, having, folder, words, options.threads)
        if "absent" in said:
            absent[name] = said["absent"]
            continue
        stack.callback(engine.end)
        engine.ask("outputs")
        found = turns.outputs(folder, name)
        said["difference"] = turns.difference(found, truth) if found else None
        if found and not said["difference"] <= turns.MOST[options.precision]:
            absent[name] = f"refused: its outputs differ by {said['difference']:.1e}"
            continue
        engines.append(engine)
        rows.append(said)
    return engines, rows


if __name__ == "__main__":
    main()
