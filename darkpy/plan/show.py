"""What a plan does, step by step, and how long each step takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import convolve
from .plan import Plan, Step


@dataclass(frozen=True)
class Line:
    """One step of a plan.

    node          the layer of the .cfg that asked for it, as "12 [convolutional]"
    kind, how     the op, and the algorithm; "eager" where no kernel of the engine computes it
    shape         of what it gives, (n, c, h, w)
    layout        "blocked", "planar" or "bf16", of the same
    mflop         million floating point operations of the direct way; 0 for all but convolutions
    bytes         that it reads and writes at least, weights in the form that it uses included
    milliseconds  median of all runs; nan if it was not timed
    """

    node: str
    kind: str
    how: str
    shape: tuple[int, ...]
    layout: str
    mflop: float
    bytes: int
    milliseconds: float


def lines(plan: Plan, runs: int = 0) -> list[Line]:
    """Return a line for each step of a plan; each is timed in ``runs`` runs of the whole."""
    times = np.median([plan.times() for _ in range(runs)], 0) if runs else None
    return [_line(plan, i, step, times) for i, step in enumerate(plan.steps)]


def _line(plan: Plan, index: int, step: Step, times: NDArray[np.float64] | None) -> Line:
    op = step.op
    node = plan.program.network.nodes[op.node]
    y = op.outputs[0]
    convolves = op.kind == "convolve"
    touched = sum(one.bytes for one in (*op.inputs, *op.outputs))
    if convolves and "packed" in op.numbers:
        touched += op.numbers["packed"][0].nbytes
    return Line(
        f"{op.node} [{node.layer.section}]",
        op.kind,
        "eager" if step.call else str(op.choice or "engine"),
        y.shape,
        y.layout,
        convolve.geometry(op).flops / 1e6 if convolves else 0.0,
        touched,
        float("nan") if times is None else float(times[index]),
    )


def table(found: list[Line], peak: float = 0.0) -> str:
    """Return lines as a table to print.

    peak  GFLOP/s of the machine, to give each convolution's share of it; 0 if it is not known
    """
    head = f"{'layer':22} {'op':10} {'how':32} {'output':>16} {'layout':8} {'MFLOP':>8} {'MB':>7}"
    rows = [head + f" {'ms':>8} {'share':>6}"]
    for one in found:
        shape = "x".join(map(str, one.shape[1:] if len(one.shape) == 4 else one.shape))
        time = "" if np.isnan(one.milliseconds) else f"{one.milliseconds:.3f}"
        share = ""
        if peak and one.mflop and one.milliseconds > 0:
            share = f"{one.mflop / one.milliseconds / peak:.0%}"
        rows.append(
            f"{one.node:22} {one.kind:10} {one.how:32} {shape:>16} {one.layout:8} "
            f"{one.mflop:8.1f} {one.bytes / 1e6:7.2f} {time:>8} {share:>6}"
        )
    return "\n".join(rows)
