"""Measure, and say of the machine what figures depend on: cores, and how fast memory is copied."""

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
