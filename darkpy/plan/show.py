"""What a plan does, step by step, and how long each step takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..tables import aligned
from . import convolve
from .plan import Plan, Step

HEAD = ("layer", "op", "how", "output", "layout", "MFLOP", "MB", "ms", "of peak")


@dataclass(frozen=True)
class Line:
    """One step of a plan.

    node          the layer of the .cfg that asked for it, as "12 [convolutional]"
    kind, how     the op, and the algorithm; "eager" where no kernel of the engine computes it
    shape         of what it gives, (n, c, h, w)
    layout        "blocked", "planar" or "bf16", of the same
    mflop         million floating point operations of the direct way; 0 for all but convolutions
    bytes         that it reads and writes at least, weights in the form that it uses included
    milliseconds  median of all runs; None if it was not timed
    """

    node: str
    kind: str
    how: str
    shape: tuple[int, ...]
    layout: str
    mflop: float
    bytes: int
    milliseconds: float | None

    def share(self, peak: float) -> float | None:
        """Return its share of ``peak`` GFLOP/s, if it has operations and was timed."""
        if not (self.mflop and self.milliseconds and peak):
            return None
        return self.mflop / self.milliseconds / peak


def lines(plan: Plan, runs: int = 0) -> list[Line]:
    """Return a line for each step of a plan; each is timed in ``runs`` runs of the whole."""
    times = np.median([plan.times() for _ in range(runs)], 0) if runs else None
    return [_line(plan, i, step, times) for i, step in enumerate(plan.steps)]


def total(found: Sequence[Line]) -> Line:
    """Return all lines as one."""
    times = [one.milliseconds for one in found if one.milliseconds is not None]
    mflop, size = sum(one.mflop for one in found), sum(one.bytes for one in found)
    spent = math.fsum(times) if times else None
    return Line("total", f"{len(found)} ops", "", (), "", mflop, size, spent)


def _line(plan: Plan, index: int, step: Step, times: NDArray[np.float64] | None) -> Line:
    op = step.op
    node = plan.program.network.nodes[op.node]
    y = (*op.outputs, *op.inputs)[0]
    parts = op.numbers["parts"] if op.kind == "chain" else [op] if op.kind == "convolve" else []
    touched = sum(one.bytes for one in (*op.inputs, *op.outputs))
    touched += sum(one.numbers["packed"][0].nbytes for one in parts if "packed" in one.numbers)
    return Line(
        f"{op.node} [{node.layer.section}]",
        op.kind,
        "eager" if step.call else str(op.choice or "engine"),
        y.shape,
        y.layout,
        sum(convolve.geometry(one).flops for one in parts) / 1e6,
        touched,
        None if times is None else float(times[index]),
    )


def table(found: Sequence[Line], peak: float = 0.0) -> str:
    """Return lines and their total as a table to print.

    peak  GFLOP/s of the machine, to give each convolution's share of it; 0 if it is not known
    """
    return aligned([HEAD, *(_words(one, peak) for one in (*found, total(found)))], "<<<><>>>>")


def _words(one: Line, peak: float) -> tuple[str, ...]:
    shape = "x".join(map(str, one.shape[1:] if one.shape[:1] == (1,) else one.shape))
    time = "" if one.milliseconds is None else f"{one.milliseconds:.3f}"
    share = one.share(peak)
    return (
        *(one.node, one.kind, one.how, shape, one.layout),
        *(f"{one.mflop:.1f}" if one.mflop else "", f"{one.bytes / 1e6:.2f}", time),
        "" if share is None else f"{share:.0%}",
    )
