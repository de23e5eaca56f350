"""Rows of ops that see a picture as one vector, or whose maps are not alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..kernels.cpu.engine import elementwise, head, layout, linear
from ..kernels.cpu.engine.packing import aligned
from ..kernels.cpu.engine.records import LANES, Map, Packed, Row, Shared
from .trace import Op


def connect(op: Op, x: Map, y: Map) -> list[Row]:
    """Return the rows of a [connected] layer; its matrix is used as it is."""
    n = op.numbers
    if n["scale"] is not None:
        n |= {"w": np.ascontiguousarray(n["w"] * n["scale"][:, None]), "scale": None}
    bias = aligned((y.blocks * LANES,))
    if n["bias"] is not None:
        bias[: y.c] = n["bias"]
    flat = layout.flat(Shared(0), x.n, x.c, x.h, x.w)
    rows = [
        *layout.to_planar(x, flat),
        *linear.linear(flat, y, Packed(n["w"]), bias, activation=n["activation"]),
    ]
    return [row._replace(shared=x.n * flat.image) for row in rows]


def softmax(op: Op, x: Map, y: Map) -> list[Row]:
    """Return the rows of a softmax over runs of each picture's values; y has no gaps."""
    return [*layout.to_planar(x, y), *head.softmax(y, **op.numbers)]


def shortcut(op: Op, *maps: Map) -> list[Row]:
    """Return the rows of a sum of maps of different channels: those that the first has."""
    *xs, y = maps
    ends = sorted({min(one.c, y.c) for one in xs})
    rows: list[Row] = []
    for start, end in zip([0, *ends], ends, strict=False):
        parts = [channels(one, start, end) for one in (*xs, y) if one.c > start]
        rows += elementwise.add(*parts, activation=op.numbers.get("activation", "linear"))
    return rows


def channels(x: Map, start: int, end: int) -> Map:
    """Return channels of a blocked map, from a whole block on."""
    return replace(x, address=x.address + start // LANES * x.plane, c=end - start)


def stepped(op: Op) -> bool:
    """Return whether the maps of a sum differ in channels alone, and by whole blocks."""
    y = op.output.shape
    return all(
        len(one.shape) == 4
        and one.shape[2:] == y[2:]
        and (one.shape[1] % LANES == 0 or one.shape[1] >= y[1])
        for one in op.inputs
    )
