"""Rows of pools over blocked maps: the largest value of windows, the mean of a plane.

Windows are those of kernels/reference/pool.py: number i of a line begins at cell
i * stride - padding // 2, and cells outside the map take no part, whatever its border holds.
"""

from __future__ import annotations

from . import target
from .depthwise import rows_of_band, tile
from .elementwise import planes, strides
from .records import CELL, Map, Row, kernel

CELLS = {32: 8, 8: 2, 4: 1}  # of a tile, by registers
LEAST = "-3.4028234663852886e+38"  # what a window without a cell gives


def maxpool(x: Map, y: Map, *, size, stride, padding):
    """Return the rows that fill y with the largest value of each window of size x size of x.

    stride   (y, x)
    padding  cells of both sides together
    """
    cells = tile(y.w, CELLS[target.host().registers])
    tiles, rest = divmod(y.w, cells)
    straight = size <= 3 and padding // 2 == 0 and (y.w - 1) * stride[1] + size <= x.w

    def along(cells, rows):
        params = {"size": size, "rows": rows, "stride": stride[1]}
        return kernel("pool", "along", cells=cells, **params)

    direct = (along(cells, size), along(rest or cells, size)) if straight else (0, 0)
    band = rows_of_band(y.h, x.row * stride[0])
    bands = -(-y.h // band)
    args = (
        y.blocks, bands, band, x.h, x.w, y.h, y.w, size, *stride, padding // 2, padding // 2,
        *strides(x), *strides(y), *direct,
        kernel("pool", "down", cells=cells), cells, along(cells, 1), along(rest or cells, 1),
        tiles, tiles * cells, rest, kernel("elementwise", "fill", value=LEAST),
        kernel("pool", "down", cells=1),
    )  # fmt: skip
    scratch = ((y.w - 1) * stride[1] + size) * CELL
    return [Row("pool.rows", args, y.n * y.blocks * bands, scratch=scratch)]


def spp(x: Map, ys, sizes):
    """Return the rows of max pools of one map, stride 1, each y of the size of x (SPP)."""
    rows = []
    for y, size in zip(ys, sizes, strict=True):
        rows += maxpool(x, y, size=size, stride=(1, 1), padding=size - 1)
    return [*(row._replace(barrier=False) for row in rows[:-1]), rows[-1]]


def maxpool_grad(dy: Map, x: Map, y: Map, dx: Map, *, size, stride, padding):
    """Return the rows that fill dx with the gradient of x, given y = maxpool(x) and that of y.

    Of equal cells of a window the first has all.
    """
    before = padding // 2
    first = -(-before // stride[1])
    whole = max(0, min(dy.w, (x.w - size + before) // stride[1] + 1) - first)
    apart = size <= min(stride)
    params = {"step": stride[1], "add": not apart}
    covers = size == stride[1] and before == 0 and dy.w * size == x.w
    band = rows_of_band(dy.h, x.row * stride[0]) if size <= stride[0] else dy.h
    bands = -(-dy.h // band)
    args = (
        dy.blocks, bands, band, x.h, x.w, dy.h, dy.w, size, *stride, before, before,
        *strides(dy), *strides(x), *strides(y), *strides(dx),
        kernel("pool", "grad", size=size, **params), kernel("pool", "grad", size=0, **params),
        kernel("elementwise", "fill", value="0"), first, whole, int(apart and covers),
    )  # fmt: skip
    return [Row("pool.grad", args, dy.n * dy.blocks * bands)]


def avgpool(x: Map, y: Map):
    """Return the rows that fill y (n, c, 1, 1) with the mean of each channel of x."""
    assert (y.n, y.c, y.h, y.w) == (x.n, x.c, 1, 1), (x, y)
    mean = kernel("pool", "mean", cells=x.h * x.w)
    return [planes(mean, x, [x, None, None, y], split=False)]


def avgpool_grad(dy: Map, dx: Map):
    """Return the rows that fill dx with the gradient of x, given that of its avgpool."""
    assert (dy.n, dy.c, dy.h, dy.w) == (dx.n, dx.c, 1, 1), (dy, dx)
    each = kernel("pool", "share", cells=dx.h * dx.w)
    return [planes(each, dx, [(dy.address, dy.image, dy.plane, 0), None, None, dx])]
