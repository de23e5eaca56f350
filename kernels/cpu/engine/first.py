"""Rows of a network's first convolution: from a planar map of few channels to a blocked one."""

from __future__ import annotations

from . import direct
from .packing import aligned
from .records import LANES, Map, Packed, Row


def packed_shape(shape):
    """Return the shape that weights (f, c, k, k) have when packed: [block][c][k][k][16 filters]."""
    return (-(-shape[0] // LANES), *shape[1:], LANES)


def pack(w, packed, *, shape):
    """Return the rows that pack weights (f, c, k, k) at the address ``w``."""
    taps = shape[1] * shape[2] * shape[3]
    return [Row("packing.first", (w, Packed(packed), shape[0], taps), packed.shape[0])]


def conv2d(
    x: Map, y: Map, packed, bias, *, size, stride, padding, dilation, activation, pool=False
):
    """Return the rows that fill y with the activated convolution of a planar x.

    Everything else is as in `direct.conv2d`.
    """
    return [
        direct.row(
            x, y, packed, aligned(y.blocks * LANES) if bias is None else bias, size=size,
            stride=stride, padding=padding, dilation=dilation, activation=activation,
            residual=None, residual_first=False, pool=pool, seen=x.c, filters=y.c, channels=x.c,
            alike=y.blocks,
        )
    ]  # fmt: skip
