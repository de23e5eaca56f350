"""How long a plan takes as a whole, how much memory, and on what machine."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.cpu.engine import probe, team
from .plan import Plan, flops


@dataclass(frozen=True)
class Whole:
    """Figures of a plan.

    milliseconds  of a call: the median, and the quartiles ``low`` and ``high``
    gflop         floating point operations of the direct way, in thousand millions
    maps          bytes of all maps together, at once
    weights       bytes of the weights, as convolutions read them
    """

    milliseconds: float
    low: float
    high: float
    gflop: float
    maps: int
    weights: int

    @property
    def speed(self) -> float:
        """GFLOP/s."""
        return 1e3 * self.gflop / self.milliseconds


def measure(plan: Plan, runs: int, seed: int = 0) -> Whole:
    """Run a plan ``runs`` times on drawn numbers, after once that does not count."""
    shape = plan.program.inputs["image"].shape
    x = np.random.default_rng(seed).random(shape, np.float32)
    spent = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        plan.run({"image": x}, lambda outputs: None)
        spent.append(1e3 * (time.perf_counter() - start))
    low, median, high = (
        statistics.quantiles(spent[1:], n=4, method="inclusive") if runs > 1 else spent[1:] * 3
    )
    gflop = 1e-9 * flops(plan.program.network) * shape[0]
    return Whole(median, low, high, gflop, plan.arena, plan.weights)


def machine(threads: int) -> dict[str, Any]:
    """Return the processor, the threads, and the most GFLOP/s of float32 that they reach."""
    return {
        "processor": probe.processor(),
        "threads": threads,
        "peak_gflops": float(probe.peak(threads)),
    }


def most() -> int:
    """Return how many threads a plan runs fastest with."""
    return int(team.most())
