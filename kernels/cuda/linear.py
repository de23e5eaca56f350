"""Each picture, read as one vector, times a matrix; and the gradients."""

from typing import Any

import numpy as np

from .convolve import MOST_TAPS, convolve, input_grad
from .device import Device, Launch, Map, act
from .pack import packed_first
from .packing import DEFAULT
from .weight_grad import dense_weight_grad
from .window import at

__all__ = ["connect", "linear", "linear_input_grad", "linear_weight_grad"]

FILE = "linear.cu"
WARPS, FILTERS = 4, 2  # of a block; of a warp
PICTURES = 4  # of a block
FEW = 8  # pictures up to which the matrix takes the time, whatever multiplies


def as_window(w: Any, x: Map) -> Any:
    """Return w (f, c h w) as the weights of a window (f, c, h, w) that is all of x.

    `pack_weights`, and `packing.pack`, lay them out as [filter][pixel][channel] for `connect`.
    """
    return w.reshape(w.shape[0], x.c, x.h, x.w)


def linear(device: Device, y: Map, x: Map, w: Any, *, precision: str | None = None) -> list[Launch]:
    """y (n, f, 1, 1) = x times w (f, c h w).

    precision  of the products of "float" maps: "fp32", also if None, or "tf32"
    """

    def launches(weights: Any) -> list[Launch]:
        return connect(device, y, x, weights, precision=precision)

    return packed_first(device, launches, as_window(w, x), type_=x.type)


def connect(
    device: Device,
    y: Map,
    x: Map,
    weights: Any,
    bias: Any = None,
    *,
    activation: str = "linear",
    precision: str | None = None,
) -> list[Launch]:
    """y (n, f, 1, 1) = the activation of x times a matrix, plus bias (f).

    weights  `as_window`, packed, of the type of x
    """
    if x.n > FEW and x.h == x.w <= MOST_TAPS:
        how = {"activation": activation, "precision": precision or DEFAULT[x.type]}
        return convolve(device, y, x, weights, bias, size=x.h, **how)
    assert y.type in (x.type, "float"), (y.type, x.type)
    pictures = PICTURES if x.n > 1 else 1
    wide = y.pieces * y.piece
    grid = (-(-wide // (WARPS * FILTERS)), -(-x.n // pictures))
    sizes = (x.n, x.h * x.w, x.pieces, y.c, wide)
    args = (*at(x), weights, bias, *at(y), *map(np.int32, sizes))
    kernel = f"linear<{x.name}, {y.name}, {act(activation)}, {pictures}>"
    return [Launch(FILE, kernel, grid, (WARPS * 32,), args)]


def linear_input_grad(
    device: Device,
    dx: Map,
    dy: Map,
    w: Any,
    *,
    shape: tuple[int, ...],
    precision: str | None = None,
) -> list[Launch]:
    """dx = the gradient of x, given dy (n, f, 1, 1) and w (f, c h w)."""
    assert dx.type == dy.type, (dx.type, dy.type)
    if dx.n > FEW and dx.h == dx.w == 1:
        how = {"size": 1, "precision": precision or DEFAULT[dx.type]}

        def product(weights: Any) -> list[Launch]:
            return input_grad(device, dx, dy, weights, **how)

        return packed_first(device, product, as_window(w, dx), type_=dx.type, turned=True)

    def launches(weights: Any) -> list[Launch]:
        pictures = PICTURES if dx.n > 1 else 1
        grid = (-(-dx.h * dx.w * dx.pieces // 8), -(-dx.n // pictures))
        sizes = (dx.n, dx.h * dx.w, dx.pieces, dy.c)
        args = (*at(dy), weights, *at(dx), *map(np.int32, sizes))
        return [Launch(FILE, f"linear_input_grad<{dx.name}, {pictures}>", grid, (256,), args)]

    return packed_first(device, launches, as_window(w, dx), type_=dx.type)


def linear_weight_grad(
    device: Device,
    dw: Any,
    dy: Map,
    x: Map,
    *,
    precision: str | None = None,
    accumulate: bool = False,
) -> list[Launch]:
    """dw (f, c h w) = the gradient of the matrix, or is added to what is there."""
    alone = {"stride": (1, 1), "padding": 0, "dilation": 1}
    how = {"size": (x.h, x.w), "precision": precision or DEFAULT[x.type], **alone}
    return dense_weight_grad(device, dw, dy, x, accumulate=accumulate, **how)
