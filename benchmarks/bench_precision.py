"""How far what feeds the heads is from float64, in float32 and in bf16.

    python benchmarks/bench_precision.py [CFG...] [--weights FILE]

The truth is the reference in float64. Without --weights, networks are given drawn ones.
For mAP: darkpy detector map DATA CFG WEIGHTS --precision bf16.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import subject  # noqa: E402

from darkpy.kernels import ops  # noqa: E402
from darkpy.network import Network  # noqa: E402
from darkpy.plan import PRECISIONS, compile  # noqa: E402
from darkpy.run import Tape  # noqa: E402
from darkpy.weights import read_weights  # noqa: E402

DEFAULT = ("yolov3-tiny", "yolov4-tiny", "yolov7-tiny", "yolo-fastest-1.1-xl", "yolov3")
HEAD = ("network", "largest, fp32", "mean, fp32", "largest, bf16", "mean, bf16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cfg", nargs="*", help=f"default: {' '.join(DEFAULT)} of cfg/")
    parser.add_argument("--weights", type=Path, help="of the one CFG")
    options = parser.parse_args()
    if options.weights and len(options.cfg) != 1:
        parser.error("--weights: expected one CFG")
    print("| " + " | ".join(HEAD) + " |\n" + "|---" * len(HEAD) + "|")
    for path in options.cfg or [ROOT / "cfg" / f"{name}.cfg" for name in DEFAULT]:
        network = Network.from_cfg(path)
        whole = read_weights(network, options.weights) if options.weights else None
        params = whole or subject.drawn(network)
        found = errors(network, params)
        cells = [f"{number:.1e}" for precision in PRECISIONS for number in found[precision]]
        print(f"| {Path(path).stem} {network.image.w} | " + " | ".join(cells) + " |", flush=True)


def errors(network: Network, params: list) -> dict[str, tuple[float, float]]:
    """Return, by precision, the largest error of what feeds the heads by the largest value, and the
    root of the mean square error by that of the values; the worst of all heads."""
    whole = subject.raw(network)
    x = np.random.default_rng(0).random((1, *network.image), np.float32)
    exact = [{name: value.astype(np.float64) for name, value in one.items()} for one in params]
    want = Tape(whole, exact, ops("reference")).forward(x.astype(np.float64))
    assert all(y.dtype == np.float64 for y in want.values())
    result = {}
    for precision in PRECISIONS:
        got = compile(whole, params, precision=precision)(x)
        pairs = [(got[i] - y, y) for i, y in want.items()]
        largest = max(float(np.abs(e).max() / np.abs(y).max()) for e, y in pairs)
        mean = max(float(np.sqrt((e**2).mean() / (y**2).mean())) for e, y in pairs)
        result[precision] = (largest, mean)
    return result


if __name__ == "__main__":
    main()
