"""How far each algorithm, and each network as a whole, is from float64.

    scripts/bench errors [CFG...] [--weights FILE] [--threads 2]

A difference is the largest one, by the largest value of what float64 gives. Convolutions are fed
numbers of N(0, 1), one by one; networks get a picture of noise, and what feeds their heads is
compared. Weights, if none are given, are drawn so that activations keep their size (subject.py).
Nothing is timed.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import subject  # noqa: E402

from darkpy.errors import DeviceError  # noqa: E402
from darkpy.kernels import ops  # noqa: E402
from darkpy.kernels.cpu.threads import CORES  # noqa: E402
from darkpy.network import Network  # noqa: E402
from darkpy.plan import compile, ways  # noqa: E402
from darkpy.run import Tape  # noqa: E402
from darkpy.weights import read_weights  # noqa: E402

DEFAULT = ("yolov3-tiny", "yolov4-tiny", "yolo-fastest-1.1-xl")
MODES = {"default": {}, "strict": {"strict": True}, "bf16": {"precision": "bf16"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cfg", nargs="*", help=f"default: {' '.join(DEFAULT)} of cfg/")
    parser.add_argument("--weights", type=Path, help="of the one CFG, instead of drawn ones")
    parser.add_argument("--threads", type=int, default=CORES)
    options = parser.parse_args()
    if options.weights and len(options.cfg) != 1:
        parser.error("--weights: expected one CFG")
    networks = [
        Network.from_cfg(path) for path in options.cfg or [ROOT / f"cfg/{x}.cfg" for x in DEFAULT]
    ]
    found: dict[str, list[float]] = defaultdict(list)
    wholes = []
    for network in networks:
        params = (
            read_weights(network, options.weights) if options.weights else subject.drawn(network)
        )
        for name, error in of_convolutions(network, params, options.threads):
            found[name].append(error)
        wholes.append((Path(network.path).stem, of_whole(network, params, options.threads)))
    print("| algorithm | least | median | largest | convolutions |\n|---|---|---|---|---|")
    for name, errors in sorted(found.items()):
        least, middle, most = np.quantile(errors, (0, 0.5, 1))
        print(f"| {name} | {least:.1e} | {middle:.1e} | {most:.1e} | {len(errors)} |")
    print(f"\n| network | {' | '.join(['float32 by numpy', *MODES])} |\n|{'---|' * 5}")
    for name, errors in wholes:
        print(f"| {name} | {' | '.join(errors)} |")


def of_convolutions(network: Network, params: list, threads: int):
    """Yield (algorithm, error) for each way of each convolution."""
    program = ways.separate(network, params, 1, threads)
    for layer in ways.layers(program):
        choices = ways.of_each_kind(layer.geometry, threads)
        bound = ways.bind(program, layer.ops[0], choices, threads)
        for way, error in zip(choices, ways.errors(layer.ops[0], bound), strict=True):
            m = dict(way.options).get("m")
            yield f"Winograd F({m} x {m}, 3 x 3)" if m else way.name, error


def of_whole(network: Network, params: list, threads: int) -> list[str]:
    """Return the error of what feeds the heads: of the reference in float32, and of each mode."""
    raw = subject.raw(network)
    x = np.random.default_rng(0).random((1, *network.image), np.float32)
    wide = [{name: one.astype(np.float64) for name, one in own.items()} for own in params]
    truth = Tape(raw, wide, ops("reference")).forward(x.astype(np.float64))
    outputs = [Tape(raw, params, ops("reference")).forward(x)]
    for mode in MODES.values():
        try:
            outputs.append(compile(raw, params, threads=threads, **mode)(x))
        except DeviceError:
            outputs.append({})
    return [f"{difference(one, truth):.1e}" if one else "not here" for one in outputs]


def difference(found: dict, truth: dict) -> float:
    return max(float(abs(found[i] - y).max() / abs(y).max()) for i, y in truth.items())


if __name__ == "__main__":
    main()
