"""Choose algorithms by measuring: which way of each convolution is fastest on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..kernels.cpu.engine import team
from ..network import Network
from . import convolve
from .convolve import Choice
from .plan import Plan, Progress, traced
from .trace import Program
from .ways import Layer, bind, layers, times, worth

GAIN = 0.97  # of the time that the estimate takes: what is not below is within what times vary


@dataclass(frozen=True)
class Tuned:
    """What became of a convolution.

    count          how many of the network's are like it
    before, after  the way that is estimated to be best, and the one that is taken
    old, new       their milliseconds, alone
    """

    layer: str
    count: int
    before: Choice
    after: Choice
    old: float
    new: float


@dataclass(frozen=True)
class Result:
    """What tuning came to.

    old, new  milliseconds of the whole network by the estimates, and by what was measured, in turns
    kept      whether the choices are remembered: only if the whole is faster
    """

    layers: tuple[Tuned, ...]
    old: float
    new: float
    kept: bool


def tune(
    network: Network,
    params: Sequence[dict[str, Any]],
    *,
    batch: int = 1,
    threads: int | None = None,
    strict: bool = False,
    rounds: int = 9,
    progress: Progress | None = None,
) -> Result:
    """Measure the ways of each convolution; remember those that are faster than what is estimated.

    From then on every plan of these shapes, with as many threads, takes them.

    rounds    how often each way runs; its median counts
    progress  called with (how many layers are measured, of how many)
    """
    threads = threads or team.most()
    show = progress or ignore
    program = traced(network, params, batch, threads)
    found = [one for one in layers(program) if len(worth(one.geometry, threads, strict)) > 1]
    tuned = []
    for done, layer in enumerate(found):
        show(done, len(found))
        tuned.append(measured(program, layer, threads, strict, rounds))
    show(len(found), len(found))
    changed = {
        layer.geometry: one.after
        for layer, one in zip(found, tuned, strict=True)
        if one.after != one.before
    }
    old, new = compared(network, params, batch, threads, strict, changed, rounds)
    kept = bool(changed) and new < old
    for layer in found:
        if kept and layer.geometry in changed:
            convolve.remember(layer.geometry, threads, strict, changed[layer.geometry])
        else:
            convolve.forget(layer.geometry, threads, strict)
    return Result(tuple(tuned), old, new, kept)


def forget(
    network: Network,
    params: Sequence[dict[str, Any]],
    *,
    batch: int = 1,
    threads: int | None = None,
    strict: bool = False,
) -> int:
    """Forget what was measured for a network's convolutions; return for how many it was known."""
    threads = threads or team.most()
    found = [one.geometry for one in layers(traced(network, params, batch, threads))]
    known = [g for g in found if convolve.recalled(g, threads, strict) is not None]
    for g in known:
        convolve.forget(g, threads, strict)
    return len(known)


def ignore(done: int, total: int) -> None:
    """Show no progress."""


def measured(program: Program, layer: Layer, threads: int, strict: bool, rounds: int) -> Tuned:
    """Measure the ways of one convolution."""
    ways = worth(layer.geometry, threads, strict)
    spent = times(bind(program, layer.ops[0], ways, threads), rounds)
    old, best = spent[0], min(spent)
    after = ways[spent.index(best)] if best < GAIN * old else ways[0]
    new = spent[ways.index(after)]
    return Tuned(str(layer), len(layer.ops), ways[0], after, old, new)


def compared(
    network: Network,
    params: Sequence[dict[str, Any]],
    batch: int,
    threads: int,
    strict: bool,
    changed: dict[convolve.Geometry, Choice],
    rounds: int,
) -> tuple[float, float]:
    """Return the median milliseconds of the network by estimates, and with some choices changed."""
    plans = []
    for choices in ({}, changed):
        program = traced(network, params, batch, threads)
        for op in program.ops:
            if op.kind == "convolve":
                g = convolve.geometry(op)
                op.choice = choices.get(g) or convolve.estimate(g, threads, strict)
        plans.append(Plan(program, threads, strict))
    x = np.random.default_rng(0).random((batch, *network.image), np.float32)
    spent: list[list[float]] = [[], []]
    for turn in range(rounds + 1):
        for plan, one in zip(plans, spent, strict=True):
            start = time.perf_counter()
            plan(x)
            if turn:
                one.append(1e3 * (time.perf_counter() - start))
    return statistics.median(spent[0]), statistics.median(spent[1])
