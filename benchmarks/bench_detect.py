"""Time whole networks, one picture at a time, on the processor's kernels and on the reference.

    scripts/bench detect [CFG...] [--rounds 9] [--json FILE]

Networks are given drawn weights, which take as long as trained ones. The devices
take turns, round after round; medians are shown. `first` is a network's first picture, which may
compile.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from machine import report  # noqa: E402

from darkpy import Network  # noqa: E402
from darkpy.detect import Detector  # noqa: E402

DEFAULT = ("yolov3-tiny", "yolov4-tiny", "yolo-fastest-1.1-xl", "yolov3")
DEVICES = ("cpu", "reference")
REST = 0.1  # seconds; the threads of BLAS, which the reference leaves running, spin for some 30 ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cfg", nargs="*", help=f"default: {' '.join(DEFAULT)} of cfg/")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--size", type=int, help="side of the input instead of the cfg's own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    paths = options.cfg or [ROOT / "cfg" / f"{name}.cfg" for name in DEFAULT]
    report(
        lambda: [row for path in paths for row in measure(path, options.size, options.rounds)],
        f"{'network':24}{'input':>10}{'device':>11}{'first ms':>10}{'ms':>9}{'worst':>9}",
        lambda row: (
            f"{row['network']:24}{row['input']:>10}{row['device']:>11}{row['first']:10.1f}"
            f"{row['median']:9.1f}{row['worst']:9.1f}"
        ),
        options.json,
    )


def measure(path: str | Path, side: int | None, rounds: int) -> list[dict]:
    """Return, per device, milliseconds of the first picture, the median and the worst one."""
    network = Network.from_cfg(path, size=(side, side) if side else None)
    params = network.initial_params(np.random.default_rng(0))
    detectors = {name: Detector(network, params, device=name) for name in DEVICES}
    x = np.random.default_rng(1).random(network.image, dtype=np.float32)
    times: dict[str, list[float]] = {name: [] for name in DEVICES}
    for _ in range(rounds + 1):
        for name, detector in detectors.items():
            time.sleep(REST)
            start = time.perf_counter()
            detector.forward(x)
            times[name].append(1e3 * (time.perf_counter() - start))
    return [
        {
            "network": Path(path).stem,
            "input": "x".join(map(str, network.image)),
            "device": name,
            "first": first,
            "median": statistics.median(others),
            "worst": max(others),
        }
        for name, (first, *others) in times.items()
    ]


if __name__ == "__main__":
    main()
