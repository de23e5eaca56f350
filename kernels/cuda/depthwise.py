"""Convolution of each channel with a window of its own, and its gradients."""

from typing import Any

import numpy as np

from .device import Device, Launch, Map, act, over
from .partials import partials
from .window import RESIDUALS, at, window

FILE = "depthwise.cu"
COLUMNS = 4  # places of a thread
FIXED = {(3, 1), (3, 2), (5, 1), (5, 2)}  # size and step to the right with kernels of their own
STRANDS, PIECES = 32, 8  # of a block of `depthwise_weight_grad`


def tap_count(x: Map, size: int) -> int:
    """Return the numbers of the taps of a map's channels, as `pack_taps` lays them out."""
    return size * size * x.pieces * x.piece


def pack_taps(
    device: Device, taps: Any, w: Any, *, x: Map, size: int, turned: bool = False
) -> list[Launch]:
    """taps = w (c, 1, size, size) as (size size, channels with the padding of x), float32.

    turned  the windows are turned about: those of the gradient by the input at stride 1
    """
    sizes = (x.c, x.pieces * x.piece, size * size, turned)
    args = (w, taps, *map(np.int32, sizes))
    return [Launch(FILE, "pack_taps", *over(tap_count(x, size)), args)]


def depthwise(
    device: Device,
    y: Map,
    x: Map,
    taps: Any,
    bias: Any = None,
    r: Map | None = None,
    *,
    activation: str = "linear",
    residual: str | None = None,
    **numbers: Any,
) -> list[Launch]:
    """y = the activation of x convolved with taps, plus bias (c); r is added.

    residual  "before" the activation or "after" it; None: there is no r
    numbers   size, stride, padding, dilation
    """
    assert r is None or r.type == y.type, (r, y.type)
    fixed = _fixed(**numbers)
    pieces = -(-y.c // x.piece)
    count = y.n * y.h * -(-y.w // COLUMNS) * pieces
    kernel = f"depthwise<{x.name}, {y.name}, {act(activation)}, {RESIDUALS[residual]}, {fixed}>"
    args = (*at(x), taps, bias, *at(r), *at(y), window(x, y, **numbers))
    sizes = (np.int32(y.c), np.int32(pieces), np.int32(count))
    return [Launch(FILE, kernel, *over(count, 128), (*args, *sizes))]


def depthwise_input_grad(
    device: Device, dx: Map, dy: Map, taps: Any, residual: Map | None = None, **numbers: Any
) -> list[Launch]:
    """dx = the gradient of x, given that of y, plus residual: a gradient that is there already.

    taps  as in `depthwise`, not turned
    """
    assert dx.type == dy.type, (dx.type, dy.type)
    fixed, right = _fixed(**numbers), numbers["stride"][1]
    before = numbers["padding"] % right if fixed[0] != "0" else 0
    count = dx.n * dx.h * -(-(dx.w + before) // COLUMNS) * dx.pieces
    args = (*at(dy), taps, *at(residual), *at(dx), window(dx, dy, **numbers))
    kernel = f"depthwise_input_grad<{dx.name}, {fixed}>"
    sizes = (np.int32(dx.pieces), np.int32(count))
    return [Launch(FILE, kernel, *over(count, 128), (*args, *sizes))]


def depthwise_weight_grad(
    device: Device,
    dw: Any,
    dy: Map,
    x: Map,
    *,
    accumulate: bool = False,
    **numbers: Any,
) -> list[Launch]:
    """dw (c, 1, size, size) = the gradient of the weights, or is added to what is there."""
    assert dy.type == x.type, (dy.type, x.type)
    size, lines = numbers["size"], dy.n * dy.h
    taps = size if size in (3, 5) else 1
    across, deep = -(-x.pieces // PIECES), size * size // taps
    wanted = max(1, 4 * device.processors // (across * deep))
    count = min(wanted, -(-lines // STRANDS))
    padded = x.pieces * x.piece
    shape = {"filters": 1, "channels": x.c, "padded": padded, "taps": size * size}
    parts, last = partials(count, **shape, dw=dw, accumulate=accumulate)
    args = (*at(dy), *at(x), parts, window(x, dy, **numbers))
    sizes = (np.int32(x.pieces), np.int32(lines))
    kernel = f"depthwise_weight_grad<{x.name}, {taps}>"
    grid = (across, count, deep)
    return [Launch(FILE, kernel, grid, (STRANDS * PIECES,), (*args, *sizes)), last]


def _fixed(*, size: int, stride: tuple[int, int], padding: int, dilation: int) -> str:
    """Return the template's arguments for size and step; "0, 0" for those of any window."""
    fixed = (size, stride[1])
    return f"{size}, {stride[1]}" if dilation == 1 and fixed in FIXED else "0, 0"
