"""Chains: convolutions of each channel alone with those of 1 x 1 before and after, as one op."""

from __future__ import annotations

from dataclasses import dataclass

from ..kernels.cpu.engine import chain
from ..kernels.cpu.engine.records import Map, Row
from . import convolve
from .trace import Op, Program

ROWS = 4  # of a stripe at least: those around it are computed twice
SPREAD = 20  # rows of a stripe, above which a thread has two, so that threads can help each other


@dataclass(frozen=True)
class Choice:
    """How many stripes of rows a picture is cut into."""

    stripes: int

    def __str__(self) -> str:
        return f"{self.stripes} stripes"


def fuse_chains(program: Program) -> None:
    """Make a convolution of each channel alone and those of 1 x 1 beside it one op, ``chain``.

    Its ``parts`` are the ops it is made of: up to three ``convolve``.
    """
    for alone in [op for op in program.ops if _alone(op)]:
        n, _, h, _ = alone.output.shape
        if n * (h // ROWS) < program.threads:
            continue
        before, after = _before(program, alone), _after(program, alone)
        if before is None and after is None:
            continue
        parts = [one for one in (before, alone, after) if one is not None]
        args = [*parts[0].args[:1], *(after.args[1:] if after else [])]
        fused = Op("chain", args, {"parts": parts}, parts[-1].outputs, parts[-1].node)
        program.ops[program.ops.index(parts[-1])] = fused
        program.ops = [op for op in program.ops if not any(op is one for one in parts)]
        for one in parts:
            one.choice = convolve.Choice("depthwise" if one is alone else "direct")


def _alone(op: Op) -> bool:
    """Return whether an op convolves each channel alone, and does nothing else that is rare."""
    if op.kind != "convolve":
        return False
    numbers, channels = op.numbers, op.inputs[0].shape[1]
    return bool(
        numbers["groups"] == channels == op.output.shape[1] > 1
        and numbers["stride"][0] == numbers["stride"][1]
        and numbers["dilation"] == 1
        and numbers["padding"] < numbers["w"].shape[2] > 1
        and _plain(op)
    )


def _pointwise(op: Op | None) -> bool:
    """Return whether an op is a convolution of 1 x 1 that keeps the map's size."""
    if op is None or op.kind != "convolve" or op.numbers["pool"]:
        return False
    numbers = op.numbers
    return bool(
        numbers["w"].shape[2] == numbers["groups"] == 1
        and numbers["stride"] == (1, 1)
        and numbers["padding"] == 0
    )


def _plain(op: Op) -> bool:
    return op.numbers["residual"] == "none" and not op.numbers["pool"]


def _before(program: Program, alone: Op) -> Op | None:
    """Return the convolution that expands what an op reads, if nothing else reads that."""
    op = program.writer(alone.args[0])
    if op is None or not (_pointwise(op) and _plain(op)) or op.output.base is not None:
        return None
    given = any(one is op.args[0] for one in program.inputs.values())
    return op if program.sole_reader(op, "convolve") is alone and not given else None


def _after(program: Program, alone: Op) -> Op | None:
    """Return the convolution that projects what an op gives, if nothing else reads that."""
    op = program.sole_reader(alone, "convolve")
    own = alone.output.base is None and _pointwise(op)
    return op if own and op is not None and op.args[0] is alone.output else None


def choose(op: Op, threads: int) -> Choice:
    """Return how a chain is cut."""
    n, _, h, _ = op.output.shape
    each = -(-threads // n)
    most = max(1, h // ROWS)
    return Choice(min(most, 2 * each if h >= 2 * each * SPREAD else each))


def rows(op: Op, x: Map, *maps: Map) -> list[Row]:
    """Return the rows of a chain whose parts are packed."""
    *rest, y = maps
    parts = op.numbers["parts"]
    at = next(i for i, one in enumerate(parts) if _alone(one))
    expand, alone, project = (
        chain.Part(*parts[i].numbers["packed"], parts[i].numbers["activation"])
        if 0 <= i < len(parts)
        else None
        for i in (at - 1, at, at + 1)
    )
    numbers, last = parts[at].numbers, parts[-1].numbers
    found: list[Row] = chain.conv2d(
        x,
        y,
        expand=expand,
        alone=alone,
        project=project,
        size=numbers["w"].shape[2],
        stride=numbers["stride"][0],
        padding=numbers["padding"],
        stripes=op.choice.stripes,
        residual=rest[0] if rest else None,
        residual_first=last["residual"] == "before",
    )
    return found
