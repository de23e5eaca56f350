"""What a benchmark says of the machine it ran on: cores, and how fast memory is copied."""

import platform
import time

import numpy as np

from darkpy.kernels.cpu.threads import CORES


def describe() -> dict:
    """Return processor, threads and the version of numpy."""
    processor = platform.processor() or platform.machine()
    return {"processor": processor, "threads": CORES, "numpy": np.__version__}


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
