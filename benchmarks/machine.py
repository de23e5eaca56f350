"""Measure, and say of the machine what figures depend on: cores, and how fast memory is copied."""

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from darkpy.kernels.cpu.threads import CORES


def report(
    measure: Callable[[], list[dict]], head: str, line: Callable[[dict], str], path: Path | None
) -> None:
    """Measure rows of figures between two looks at memory; print them, and write them as JSON.

    head  the line above the table; ``line`` makes that of a row
    path  of the JSON file, or None
    """
    before = copying()
    rows = measure()
    after = copying()
    processor = platform.processor() or platform.machine()
    print(f"{processor}, {CORES} threads, numpy {np.__version__}, float32")
    print(f"memory is copied at {before:.1f} GB/s before and {after:.1f} GB/s after")
    print("\n".join([head, *map(line, rows)]))
    if path:
        machine = {"processor": processor, "threads": CORES, "numpy": np.__version__}
        figures = {**machine, "copy": [before, after], "rows": rows}
        path.write_text(json.dumps(figures, indent=1), "utf-8")


def copying() -> float:
    """Return how many gigabytes a second one thread reads and writes, with no cache to help."""
    source = np.ones(1 << 26, np.float32)
    target = np.empty_like(source)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return 2e-9 * source.nbytes / min(seconds)


def described(threads: int) -> dict[str, object]:
    """Return the processor, the threads, and the versions of what computes here."""
    from darkpy.kernels.cpu.engine import probe

    return {
        "processor": probe.processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": threads,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("numpy", "numba", "llvmlite")},
    }


def conditions(threads: int) -> dict[str, float]:
    """Return the peak of multiply-adds in GFLOP/s and the reading of memory in GB/s."""
    from darkpy.kernels.cpu.engine import probe

    return {"peak": probe.peak(threads), "reading": probe.reading(threads)}
