"""Rows of nearest-neighbour upsampling over blocked maps, and of its gradient."""

from __future__ import annotations

from .elementwise import planes
from .records import Map, Row, kernel


def upsample(x: Map, y: Map, *, stride, scale=1.0) -> list[Row]:
    """Return the rows that make each cell of x a block of stride x stride cells of y, scaled."""
    assert (y.n, y.c, y.h, y.w) == (x.n, x.c, x.h * stride, x.w * stride), (x, y)
    each = kernel("upsample", "upsample", stride=stride, scale=repr(float(scale)))
    to = (y.address, y.image, y.plane, y.row * stride)
    return [planes(each, x, [x, None, None, to], extra=y.row)]


def upsample_grad(dy: Map, dx: Map, *, stride, scale=1.0) -> list[Row]:
    """Return the rows that fill dx with the sum of each block of cells of dy, scaled."""
    assert (dy.n, dy.c, dy.h, dy.w) == (dx.n, dx.c, dx.h * stride, dx.w * stride), (dx, dy)
    each = kernel("upsample", "upsample_grad", stride=stride, scale=repr(float(scale)))
    from_ = (dy.address, dy.image, dy.plane, dy.row * stride)
    return [planes(each, dx, [from_, None, None, dx], extra=dy.row)]
