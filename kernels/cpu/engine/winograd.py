"""Rows of a convolution with windows of 3 x 3 cells at stride 1, by Winograd's way.

F(m x m, 3 x 3), m = 2..6: see emit/winograd.py. Blocks of tiles are transformed, multiplied with
groups of filters and transformed back while they lie in a core's cache ("task" of mode 0); or all
tiles are transformed first and tasks divide the filters (mode 1), so that each weight is read once.
"""

from __future__ import annotations

import numpy as np

from . import target
from .records import CELL, LANES, Map, Packed, Row, Shared, kernel
from .team import aligned

MODES = FUSED, DIVIDED = 0, 1
LINES = 24 * 1024  # bytes of lines of cells between the two halves of a transform


def group(registers):
    """Return how many blocks of filters are multiplied at once."""
    return 2 if registers >= 32 else 1


def most(registers):
    """Return how many tiles are multiplied at once at most."""
    return {32: 14, 8: 6, 4: 2}[registers]


def packed_shape(w_shape, m):
    """Return the shape of weights (f, c, 3, 3) transformed: (places, blocks of f, channels, 16).

    Memory has [group][place][channel][filter block of the group][16].
    """
    f, c = w_shape[:2]
    return (m + 2) ** 2, -(-f // LANES), -(-c // LANES) * LANES, LANES


def pack(w, w_shape, packed, *, m, turned=False):
    """Return the rows that transform weights at the address w, planar (f, c, 3, 3), into
    ``packed``.

    turned  pack those of the data gradient: windows turned about, filters and channels exchanged;
            ``packed`` then has `packed_shape` of (c, f, 3, 3)
    """
    f, c = w_shape[:2]
    steps = c * 36, 36
    if turned:
        f, c, steps = c, f, steps[::-1]
    blocks, depth = -(-f // LANES), -(-c // LANES)
    each = LANES * max(1, min(depth, 8))
    shares = -(-depth * LANES // each)
    args = (
        kernel("winograd", "transform_weights", m=m, turned=turned),
        w,
        Packed(packed),
        f,
        c,
        depth,
        *steps,
        group(target.host().registers),
        (m + 2) ** 2,
        each,
        shares,
        blocks,
    )
    return [Row("winograd.weights", args, blocks * shares)]


def conv2d(
    x: Map, y: Map, packed, bias, *, m, mode, tiles, activation, residual=None,
    residual_first=False, pool=False, together=1, ahead=0, gr=None, np_=None, unroll=4, shares=None,
):  # fmt: skip
    """Return the rows that fill y with the activated convolution of x, whose border is 1 or
    wider."""
    registers = target.host().registers
    wide = gr or group(registers)
    rows, cols = x.h, x.w
    lines, columns = -(-rows // m), -(-cols // m)
    total = x.n * lines * columns
    size = min(tiles, total)
    blocks = -(-total // size)
    rounds = -(-size // (np_ or most(registers)))
    cells = -(-size // rounds)
    places = (m + 2) ** 2
    reach = max(1, LINES // (m * (m + 2) * CELL))
    groups = -(-y.blocks // wide)
    v_block = size * CELL
    v_plane = x.blocks * v_block + CELL
    out_plane = wide * size * CELL + CELL
    whole = places * v_plane
    edge = (reach * m + 2) * (m + 2) * CELL
    scratch = edge + together * places * out_plane
    if bias is None:
        bias = aligned(y.blocks * LANES, np.float32)
    how = ("before" if residual_first else "after") if residual else "none"
    products = {"cells": cells, "unroll": unroll, "ahead": ahead}
    main = kernel("winograd", "multiply", filters=wide, **products)
    rest = y.blocks % wide
    kernels = (
        kernel("winograd", "transform_cells", m=m),
        main,
        kernel("winograd", "multiply", filters=rest, **products) if rest else main,
        kernel("winograd", "restore_cells", m=m, activation=activation, residual=how, pool=pool),
    )
    r = residual or y

    def row(do, v, each, shares):
        args = (
            *kernels, do, v, x.address - x.row - CELL, Packed(packed), Packed(bias), y.address,
            r.address, m, size, total, lines * columns, columns, rows, cols, x.blocks, y.blocks,
            x.image, x.plane, x.row, y.image, y.plane, y.row, r.image, r.plane, r.row,
            v_block, v_plane, whole, out_plane, wide, together, each, shares, reach,
            int(pool), edge,
        )  # fmt: skip
        shared = blocks * whole if mode else 0
        own = 0 if mode else whole
        return Row("winograd.tiles", args, blocks * shares, scratch + own, shared)

    if mode == FUSED:
        return [row(3, 0, 0, 1)]
    shares = shares or 2
    each = -(-groups // shares)
    return [row(1, Shared(), 1, x.blocks), row(2, Shared(), each, -(-groups // each))]
