"""Weights of a .weights file, laid out as direct convolution reads them."""

from __future__ import annotations

import numpy as np

from .records import CELL, LANES, Packed, Row, kernel


def packed_shape(shape, groups=1, *, turned=False):
    """Return the shape that weights (f, c / groups, k, k) have when packed.

    It is [filter block][block of x that it sees][k][k][16 of x][16 filters]. Where groups are no
    whole blocks, a block of filters sees all blocks that have channels of its groups, with weights
    of zero for what is not its own. ``turned`` as in `pack`.
    """
    filters, channels = sides(shape, groups, turned)
    blocks = -(-filters * groups // LANES)
    all_, own = -(-channels * groups // LANES), -(-channels // LANES)
    most = own
    for block in range(blocks if channels % LANES or filters % LANES else 0):
        last = min(block * LANES + LANES, filters * groups) - 1
        first = block * LANES // filters * channels // LANES
        most = max(most, -(-(last // filters + 1) * channels // LANES) - first)
    return (blocks, min(most, all_), *shape[2:], LANES, LANES)


def pack(w, packed, *, shape, groups=1, turned=False):
    """Return the rows that pack weights.

    w        the address of (f, c / groups, k, k) float32, as in a .weights file, whose shape is
             ``shape``
    packed   an aligned float32 array of `packed_shape`
    turned   for the gradient of x: taps turned about, filters and channels exchanged
    """
    filters, channels = sides(shape, groups, turned)
    blocks, seen = packed.shape[:2]
    taps = shape[2] * shape[3]
    all_ = -(-channels * groups // LANES)
    args = (
        kernel("packing", "block", turned=turned), w, Packed(packed), shape[0],
        shape[0] // groups, shape[1], taps, filters, channels, seen, all_, int(turned),
    )  # fmt: skip
    return [Row("packing.blocks", args, blocks * seen, scratch=2 * taps * LANES * CELL)]


def sides(shape, groups, turned):
    """Return (filters, channels) of a group, as packed."""
    filters, channels = shape[0] // groups, shape[1]
    return (channels, filters) if turned else (filters, channels)


def aligned(shape, kind=np.float32):
    """Return zeros of a shape whose address is a multiple of 64."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(kind).reshape(shape)
