"""Rows of the gradient of what a convolution was given, at any stride, over blocked maps."""

from __future__ import annotations

from math import gcd
from typing import NamedTuple

from . import target
from .direct import MOST
from .packing import aligned, pack, packed_shape
from .records import CELL, LANES, Map, Packed, Row, kernel

__all__ = ["aligned", "border", "input_grad", "pack", "packed_shape"]

BAND = 1 << 18  # bytes of dy that a task goes over; they stay in the second cache
TASKS = 64  # so many tasks are enough, whatever the number of threads


class Kind(NamedTuple):
    """The cells of dx, of one dimension, that meet the same taps; sizes in cells.

    first   the first of them; they lie a stride apart
    count   how many there are
    start   the cell of dy that the first of them meets with its last tap
    taps    how many taps there are, ``step`` cells of dy from each other
    tap     the last of them, counted from the end; ``leap`` to the one before it
    """

    first: int
    count: int
    start: int
    taps: int
    step: int
    tap: int
    leap: int


def kinds(length, size, stride, padding, dilation):
    """Return the kinds of cells of dx, of a dimension of ``length`` cells."""
    found = []
    leap = stride // gcd(stride, dilation)
    for phase in range(stride):  # cells i with i + padding = stride * at + phase, at = 0, 1, ..
        at = -(-(padding - phase) // stride)
        first = stride * at + phase - padding
        if first >= length:
            continue
        own = [tap for tap in range(size) if (tap * dilation - phase) % stride == 0]
        last = own[-1] if own else 0
        start = at - (last * dilation - phase) // stride if own else 0
        count = (length - 1 - first) // stride + 1
        step = leap * dilation // stride
        found.append(Kind(first, count, start, len(own), step, size - 1 - last, leap))
    return found


def border(shape, dy_shape, *, size, stride, padding, dilation=1):
    """Return the border (top, left, bottom, right) that dy must have; shapes are (h, w)."""
    low, high = [], []
    for i in (0, 1):
        own = [k for k in kinds(shape[i], size, stride[i], padding, dilation) if k.taps]
        low.append(max(0, *(-k.start for k in own)))
        ends = [k.start + k.count - 1 + (k.taps - 1) * k.step for k in own]
        high.append(max(0, *(end - dy_shape[i] + 1 for end in ends)))
    return (*low, *high)


def input_grad(dy: Map, dx: Map, packed, *, size, stride, padding, dilation=1, groups=1):
    """Return the rows that fill dx, the gradient of x, given dy and weights packed ``turned``.

    dy has the `border` that this asks for, or a wider one. A row a kind of cells: they do not wait
    for each other.
    """
    need = border(
        (dx.h, dx.w), (dy.h, dy.w), size=size, stride=stride, padding=padding, dilation=dilation
    )
    assert all(a <= b for a, b in zip(need, dy.border, strict=True)), f"dy needs a border of {need}"
    rows = [
        phase(dy, dx, packed, size, stride, groups, down, across)
        for down in kinds(dx.h, size, stride[0], padding, dilation)
        for across in kinds(dx.w, size, stride[1], padding, dilation)
    ]
    return [*(row._replace(barrier=False) for row in rows[:-1]), rows[-1]]


def phase(dy, dx, packed, size, stride, groups, down, across):
    """Return the row that fills the cells of one kind."""
    registers = target.host().registers
    alike = dx.blocks if groups == 1 else dx.c // groups // LANES * (dx.c // groups % LANES == 0)
    filters = 2 if registers >= 32 and alike and alike % 2 == 0 else 1
    tiles = -(-across.count // MOST[registers][filters])
    cells = -(-across.count // tiles)
    wide = across.count - tiles * (cells - 1)
    empty = not (down.taps and across.taps)
    codes = [
        kernel(
            "backward", "phase", filters=filters, cells=max(1, count), apart=stride[1], empty=empty
        )
        for count in (cells, cells - 1)
    ]  # fmt: skip
    seen = packed.shape[1]
    many = dx.blocks // filters
    bands = max(
        1, min(down.count, max(-(-seen * down.count * dy.row // BAND), TASKS // (many * dy.n)))
    )
    band = -(-down.count // bands)
    bands = -(-down.count // band)
    tap = LANES * CELL
    args = (
        *codes, wide, tiles - wide, cells, stride[1],
        dy.address + down.start * dy.row + across.start * CELL,
        Packed(packed.reshape(-1)[(down.tap * size + across.tap) * tap // 4 :]),
        dx.address + down.first * dx.row + across.first * CELL, dy.image, dx.image,
        down.count, band, bands, many, filters, dx.c // groups, dy.c // groups, dy.blocks, seen,
        down.taps, across.taps, dy.plane, dy.row, dy.row * down.step, CELL * across.step,
        size * size * tap, size * down.leap * tap, across.leap * tap, packed.strides[0],
        dx.plane, dx.row * stride[0],
    )  # fmt: skip
    return Row("backward.phase", args, many * bands * dy.n)
