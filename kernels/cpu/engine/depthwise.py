"""Rows of convolutions of each channel alone (groups = channels = filters), over blocked maps.

Weights are packed as [block of channels][k][k][16]; x's border holds the padding.
"""

from __future__ import annotations

from . import target
from .records import CELL, LANES, Map, Packed, Row, Shared, kernel

CELLS = {32: 14, 8: 4, 4: 2}  # of a tile, by registers
BAND = 1 << 16  # bytes of x that a task reads, about


def packed_shape(shape):
    """Return the shape of packed weights, given theirs, (c, 1, k, k)."""
    c, _, k, _ = shape
    return -(-c // LANES), k, k, LANES


def pack(w, packed, *, shape, turned=False):
    """Return the rows that pack weights for `conv2d` and `input_grad`.

    w       the address of float32 weights of ``shape``, (c, 1, k, k), as in a .weights file
    packed  an aligned array of `packed_shape`
    turned  taps in reverse order: `conv2d` with them, stride 1 and the padding
            dilation * (k - 1) - padding is the data gradient
    """
    args = (w, Packed(packed), shape[0], shape[2] * shape[3], int(turned))
    return [Row("depthwise.pack", args, packed.shape[0])]


def conv2d(
    x: Map, y: Map, packed, bias, *, size, stride, padding, dilation, activation,
    residual=None, residual_first=False,
):  # fmt: skip
    """Return the rows that fill y with the activated convolution of each channel of x.

    packed    weights from `pack`
    bias      an aligned array of whole blocks, or None
    stride    (y, x)
    residual  a Map like y, added after the activation, or before it if ``residual_first``
    """
    assert x.c == y.c and min(x.border) >= padding, (x, y)
    registers = target.host().registers
    cells = tile(y.w, most(registers, stride[1]))
    tiles, rest = divmod(y.w, cells)
    add = "none" if residual is None else "before" if residual_first else "after"
    params = {
        "size": size, "stride": stride[1], "dilation": dilation, "bias": bias is not None,
        "keep": kept(size, cells, registers), "activation": activation, "residual": add,
    }  # fmt: skip
    main, last = (
        kernel("depthwise", "depthwise", cells=n or cells, **params) for n in (cells, rest)
    )
    band = rows_of_band(y.h, x.row * stride[0])
    bands = -(-y.h // band)
    r = residual or y
    args = (
        main, last, tiles, tiles * cells, rest, Packed(packed), size * size * CELL,
        Packed(bias) if bias is not None else 0, y.blocks, bands, band, y.h,
        x.row * dilation, x.row * stride[0], CELL * stride[1],
        x.address - padding * (x.row + CELL), x.image, x.plane,
        y.address, y.image, y.plane, y.row, r.address, r.image, r.plane, r.row, size, CELL,
    )  # fmt: skip
    return [Row("depthwise.rows", args, y.n * y.blocks * bands)]


def most(registers, stride):
    """Return the most cells of a tile."""
    return CELLS[registers] if stride == 1 else min(10, CELLS[registers])


def tile(width, most):
    """Return how many cells, at most, make rows of ``width`` of the fewest and most equal tiles."""
    return -(-width // -(-width // most))


def kept(size, cells, registers):
    """Return what stays in registers beside the sums of so many cells; the kernel's ``keep``."""
    if size * size + cells + 2 <= registers:
        return "weights"
    return "line" if size + cells + 2 <= registers else "nothing"


def rows_of_band(height, row):
    """Return how many rows a task has, given the bytes of x that one takes."""
    return max(1, min(height, BAND // row))


def input_grad_border(dy_shape, dx_shape, *, size, stride, padding, dilation):
    """Return the border (top, left, bottom, right) that `input_grad` reads of dy; shapes (h, w)."""
    before, after = [], []
    for out, into, step in zip(dy_shape, dx_shape, stride, strict=True):
        taps = range(size)
        places = [i + padding - k * dilation for i in range(into) for k in taps]
        places = [place // step for place in places if place % step == 0]
        before.append(max(0, -min(places, default=0)))
        after.append(max(0, max(places, default=0) - (out - 1)))
    return *before, *after


def input_grad(dy: Map, dx: Map, packed, *, size, stride, padding, dilation):
    """Return the rows that fill dx with the gradient of x, given that of y.

    packed  weights from `pack`, not turned
    stride  (y, x), both the same; dy's border holds `input_grad_border`
    """
    geometry = {"size": size, "padding": padding, "dilation": dilation}
    need = input_grad_border((dy.h, dy.w), (dx.h, dx.w), stride=stride, **geometry)
    assert stride[0] == stride[1], stride
    assert all(has >= needs for has, needs in zip(dy.border, need, strict=True)), (dy.border, need)
    step = stride[1]
    cells = step * max(1, CELLS[target.host().registers] // step)
    cells = min(cells, step * -(-dx.w // step))
    tiles, rest = divmod(dx.w, cells)
    main, last = (
        kernel("depthwise", "input_grad", stride=step, width=n or cells, **geometry)
        for n in (cells, rest)
    )
    band = rows_of_band(dx.h, dx.row)
    bands = -(-dx.h // band)
    args = (
        main, last, tiles, tiles * cells, rest, Packed(packed), size * size * CELL,
        kernel("elementwise", "fill", value="0"), dx.blocks, bands, band, dx.h,
        size, step, padding, dilation, dy.address, dy.image, dy.plane, dy.row,
        dx.address, dx.image, dx.plane, dx.row,
    )  # fmt: skip
    return [Row("depthwise.input_grad", args, dx.n * dx.blocks * bands)]


def weight_grad(dy: Map, x: Map, dw, *, size, stride, padding, dilation):
    """Return the rows that write the gradient of the weights, (c, 1, k, k), to the address dw.

    A band of rows of a picture is one sum of float32; the bands' are added in their order.
    """
    assert x.c == dy.c and min(x.border) >= padding, (x, dy)
    lines = max(1, min(size, (target.host().registers - 2) // size))
    params = {"size": size, "stride": stride[1], "dilation": dilation}
    main, last = (
        kernel("depthwise", "weight_grad", lines=n or lines, **params)
        for n in (lines, size % lines)
    )
    band = rows_of_band(dy.h, x.row * stride[0])
    bands = -(-dy.h // band)
    shared = dy.n * bands * dy.blocks * size * size * CELL
    args = (
        main, last, lines, Shared(0), dy.blocks, bands, band, dy.h, dy.w, size,
        x.row * dilation, x.row * stride[0], dy.address, dy.image, dy.plane, dy.row,
        x.address - padding * (x.row + CELL), x.image, x.plane,
    )  # fmt: skip
    total = kernel("depthwise", "total")
    gather = (total, Shared(0), dy.n * bands, dy.blocks, dy.c, size * size, dw)
    return [
        Row("depthwise.weight_grad", args, dy.n * bands * dy.blocks, shared=shared),
        Row("depthwise.gather", gather, dy.blocks, scratch=size * size * CELL, shared=shared),
    ]
