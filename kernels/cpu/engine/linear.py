"""Rows of a [connected] layer: a matrix times each picture, read as one vector."""

from __future__ import annotations

from . import target
from .records import CELL, LANES, Map, Packed, Row, kernel

IMAGES = 8  # a line of the matrix is read once for so many
SUMS = {32: 16, 8: 4, 4: 2}  # that a kernel keeps in registers, by registers


def linear(x: Map, y: Map, w, bias, *, activation="linear"):
    """Return the rows that fill y (n, f, 1, 1), blocked or planar, with the activated x wᵀ + bias.

    x     planar and without gaps, n pictures of c * h * w values
    w     the address of (f, c * h * w) float32, as in a .weights file
    bias  an aligned array of whole blocks, or None
    """
    length = x.c * x.h * x.w
    assert x.block == 1 and (x.row, x.plane) == (4 * x.w, 4 * x.w * x.h), x
    assert (y.n, y.h, y.w) == (x.n, 1, 1), (x, y)
    sums = SUMS[target.host().registers]
    images = min(IMAGES, sums, x.n)
    lines = next(k for k in (4, 2, 1) if y.c % k == 0 and (k == 1 or k * images <= sums))
    params = {"lines": lines, "streams": max(1, sums // (lines * images))}
    main, last = (
        kernel("linear", "dot", length=length, images=n or images, **params)
        for n in (images, x.n % images)
    )
    whole = {"activation": activation, "align": CELL, "whole": True, "rest": 0}
    if bias is None:
        end, start, step = kernel("elementwise", "add", maps=1, **whole), 0, 0
    else:
        end = kernel("elementwise", "by_channel", how="plus", **whole)
        start, step = Packed(bias), CELL
    args = (
        main, last, images, x.n, w, 4 * length, y.c, x.address, x.image,
        y.address, y.image, y.plane, y.block, end, start, step, lines,
    )  # fmt: skip
    return [Row("linear.lines", args, -(-y.c // LANES), scratch=x.n * CELL)]
