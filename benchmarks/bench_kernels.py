"""Time the processor's kernels against the reference: the rows of tests/kernels/cases.py.

    scripts/bench kernels [--op conv2d] [--rounds 15] [--json FILE]

All rows take turns, round after round, so that a slow spell of the machine falls on all of them;
medians are shown, and how fast this machine copied memory before and after. The devices rest
between their turns: the threads of BLAS, which the reference leaves running, spin for some 30 ms.
The ways in which plans compute convolutions are timed by `darkpy benchmark kernels CFG`.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from machine import report  # noqa: E402

from darkpy.kernels import ops  # noqa: E402
from tests.kernels.case import Case  # noqa: E402
from tests.kernels.cases import CASES  # noqa: E402

DEVICES = ("cpu", "reference")
REST = 0.1  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--op", help="time this op alone")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    cases = [case for case in CASES if case.timed and options.op in (None, case.op)]
    if not cases or options.rounds < 1:
        parser.error("nothing to time")
    report(
        lambda: measure(cases, options.rounds),
        f"{'':48}{'cpu ms':>9}{'ref. ms':>9}{'ratio':>7}{'GFLOP/s':>9}{'GB/s':>7}",
        lambda row: (
            f"{row['case']:48}{row['cpu']:9.3f}{row['reference']:9.3f}"
            f"{row['reference'] / row['cpu']:7.1f}{row['gflops']:9.1f}{row['gbytes']:7.1f}"
        ),
        options.json,
    )


def measure(cases: list[Case], rounds: int) -> list[dict]:
    """Return per case the median milliseconds of each device, and what the processor's come to."""
    devices = {name: ops(name) for name in DEVICES}
    arrays = [case.draw() for case in cases]
    times: dict = {(str(case), name): [] for case in cases for name in DEVICES}
    for turn in range(rounds + 1):  # the first compiles, and is left out
        for name, device in devices.items():
            time.sleep(REST)
            for case, drawn in zip(cases, arrays, strict=True):
                start = time.perf_counter()
                getattr(device, case.op)(*drawn, **case.numbers)
                if turn:
                    times[str(case), name].append(time.perf_counter() - start)
    rows = []
    for case, drawn in zip(cases, arrays, strict=True):
        cpu, reference = (1e3 * statistics.median(times[str(case), name]) for name in DEVICES)
        moved = sum(x.nbytes for x in (*drawn, *case.answers(devices["cpu"], drawn)))
        speeds = {"gflops": 2e-6 * case.macs / cpu, "gbytes": 1e-6 * moved / cpu}
        rows.append({"case": str(case), "cpu": cpu, "reference": reference, **speeds})
    return rows


if __name__ == "__main__":
    main()
