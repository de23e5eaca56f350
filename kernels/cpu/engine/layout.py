"""Rows that change how maps lie: planar to blocked and back, cells to channels and back."""

from __future__ import annotations

from .elementwise import PART, copy, planes
from .records import CELL, LANES, Given, Map, Packed, Row, Shared, kernel


def to_blocked(x: Map, y: Map):
    """Return the rows that fill the blocked map y with the planar x; channels beyond c are 0."""
    assert x.block == 1 and y.block == LANES, (x, y)
    return turn("to_blocked", x, y, x.plane)


def to_planar(x: Map, y: Map):
    """Return the rows that fill the planar map y with the blocked map x."""
    assert x.block == LANES and y.block == 1, (x, y)
    return turn("to_planar", x, y, y.plane, decoded=False)


def turn(name, x, y, plane, table=None, **params):
    """Return the rows of a kernel of ``emit/layout.py``; plane is the planar map's, in bytes."""
    assert (x.n, x.c, x.h, x.w) == (y.n, y.c, y.h, y.w), (x, y)
    h, w = (x.h, x.w) if any(one.row != one.w * one.cell for one in (x, y)) else (1, x.h * x.w)
    tiles, rest = divmod(w, LANES)
    blocks = -(-x.c // LANES)
    left = x.c - (blocks - 1) * LANES
    kernels = [
        kernel("layout", name, channels=channels, cells=cells, **params)
        for channels in (LANES if blocks > 1 else left, left)
        for cells in (LANES if tiles else rest, rest or LANES)
    ]
    band = max(1, min(h, PART // (w * CELL)))
    bands = -(-h // band)
    lie = [
        (one.address, one.image, LANES // one.block * one.plane, one.row, one.cell)
        for one in (x, y)
    ]
    args = (
        *kernels, blocks, bands, band, h, tiles, tiles * LANES, rest,
        0 if table is None else Packed(table), 3 * CELL, plane, *lie[0], *lie[1],
    )  # fmt: skip
    return [Row("layout.turn", args, x.n * blocks * bands)]


def take(name, y: Map):
    """Return the rows that fill the planar map y with what a call is given: it has no gaps."""
    return copy(flat(Given(name), y.n, y.c, y.h, y.w), y)


def space_to_depth(x: Map, y: Map, *, stride):
    """Return the rows that fill y (n, s s c, h / s, w / s) as kernels/reference/reorg.py says."""
    return move(y, x, stride, deepen=True)


def depth_to_space(x: Map, y: Map, *, stride):
    """Return the rows that fill y (n, c / s / s, h s, w s), the inverse of `space_to_depth`."""
    return move(x, y, stride, deepen=False)


def move(deep, wide, stride, *, deepen):
    """Return the rows that fill the deep map with the wide one, or the wide with the deep.

    Blocked maps whose channels are whole blocks move cell by cell, others value by value.
    """
    assert (deep.n, deep.c, deep.h * stride, deep.w * stride) == (
        wide.n, wide.c * stride * stride, wide.h, wide.w,
    ), (deep, wide)  # fmt: skip
    if wide.c % LANES or LANES not in (deep.block, wide.block) or deep.block != wide.block:
        lie = [(one.address, one.image, one.row, one.plane, one.block) for one in (deep, wide)]
        args = (deep.c, wide.c, deep.h, deep.w, stride, int(deepen), *lie[0], *lie[1])
        return [Row("layout.move", args, deep.n * deep.c)]
    steps = {"reading": stride, "writing": 1} if deepen else {"reading": 1, "writing": stride}
    each = kernel("elementwise", "cells", **steps)
    rows = []
    for i in range(stride * stride):
        start = wide.address + i // stride * wide.row + i % stride * CELL
        apart = (start, wide.image, wide.plane, wide.row * stride)
        part = (deep.address + i * wide.blocks * deep.plane, deep.image, deep.plane, deep.row)
        maps = [apart, None, None, part] if deepen else [part, None, None, apart]
        rows.append(planes(each, deep, maps, blocks=wide.blocks, barrier=i == stride * stride - 1))
    return rows


def reorg(x: Map, y: Map, *, stride):
    """Return the rows that fill y (n, s s c, h / s, w / s) with x as YOLOv2's passthrough does."""
    less = x.c // stride // stride
    wide = (less, x.h * stride, x.w * stride)
    return through(x, wide, y, lambda a, b: space_to_depth(a, b, stride=stride), (x.c, x.h, x.w))


def reorg_inverse(x: Map, y: Map, *, stride):
    """Return the rows that fill y (n, c / s / s, h s, w s) with x: the inverse of `reorg`."""
    less = y.c // stride // stride
    wide = (less, y.h * stride, y.w * stride)
    return through(x, (y.c, y.h, y.w), y, lambda a, b: depth_to_space(a, b, stride=stride), wide)


def through(x, taken, y, moved, given):
    """Return the rows that move x, its memory taken for ``taken``, to ``given``, taken for y's.

    taken, given  (c, h, w); memory in shared planar maps, of as many values
    """
    size = x.c * x.h * x.w * 4
    first, second = Shared(0), Shared(size * x.n)
    rows = [
        *as_planar(x, flat(first, x.n, x.c, x.h, x.w)),
        *moved(flat(first, x.n, *taken), flat(second, x.n, *given)),
        *as_planar(flat(second, y.n, y.c, y.h, y.w), y),
    ]
    return [row._replace(shared=2 * size * x.n) for row in rows]


def as_planar(x, y):
    """Return the rows that copy x to y, of which one at least is planar."""
    if x.block == y.block:
        return copy(x, y)
    return to_blocked(x, y) if x.block == 1 else to_planar(x, y)


def flat(address, n, c, h, w):
    """Return a planar Map without gaps."""
    return Map(address, n, c, h, w, 1, 4 * c * h * w, 4 * h * w, 4 * w)
