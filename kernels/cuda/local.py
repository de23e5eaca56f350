"""A convolution whose weights differ from place to place, and its gradients."""

from typing import Any

import numpy as np

from .device import Device, Launch, Map, Scratch, over, struct
from .window import at, window

__all__ = ["local", "local_input_grad", "local_weight_grad"]

FILE = "local.cu"
N = 4  # pictures of a block
WARPS, FILTERS = 8, 4  # of a block; of a warp
SEEN = 512  # numbers of a window at a time, or those of one channel


def local(
    device: Device, y: Map, x: Map, w: Any, b: Any, *, stride: int, padding: int
) -> list[Launch]:
    """y = each window of x times the weights w (h', w', f, c, k, k) of its place, plus b."""
    taps = w.shape[-1] ** 2
    chunk = min(x.c, max(1, SEEN // taps))
    sizes = _sizes(x, y)
    windows = _window(x, y, w.shape[-1], stride, padding)
    grid = (y.h * y.w, -(-int(sizes["padded"]) // (WARPS * FILTERS)), -(-x.n // N))
    args = (*at(x), w, b, *at(y), windows, sizes, np.int32(chunk))
    kernel = f"local<{x.name}, {y.name}>"
    return [Launch(FILE, kernel, grid, (WARPS * 32,), args, 4 * N * chunk * taps)]


def local_input_grad(
    device: Device,
    dx: Map,
    dy: Map,
    w: Any,
    *,
    shape: tuple[int, ...],
    stride: int,
    padding: int,
) -> list[Launch]:
    """dx = the gradient of x: of each window first, and then of the cells."""
    assert dx.type == dy.type, (dx.type, dy.type)
    size, places = w.shape[-1], dy.h * dy.w
    taps, padded = size * size, dx.pieces * dx.piece
    seen = Scratch(dx.n * places * taps * padded)
    grid = (places, -(-dx.c * taps // 256), -(-dx.n // N))
    numbers = (np.int32(places), np.int32(taps), np.int32(padded))
    args = (*at(dy), w, seen, *numbers, _sizes(dx, dy))
    first = Launch(FILE, f"local_seen_grad<{dx.name}>", grid, (256,), args)
    count = dx.pixels * dx.pieces
    windows = _window(dx, dy, size, stride, padding)
    args = (seen, *at(dx), windows, np.int32(dx.c), np.int32(dx.pieces), np.int32(count))
    return [first, Launch(FILE, f"local_input_grad<{dx.name}>", *over(count), args)]


def local_weight_grad(
    device: Device,
    grads: tuple[Any, Any],
    dy: Map,
    x: Map,
    *,
    size: int,
    stride: int,
    padding: int,
    accumulate: bool = False,
) -> list[Launch]:
    """Write the gradients of w and of b, or add them to what is there."""
    assert dy.type == x.type, (dy.type, x.type)
    dw, db = grads
    places = dy.h * dy.w
    windows, sizes = _window(x, dy, size, stride, padding), _sizes(x, dy)
    grid = (places, -(-x.c * size * size // 256), -(-dy.c // 32))
    args = (*at(dy), *at(x), dw, windows, sizes, np.int32(accumulate))
    numbers = (dy.n, places, dy.c, accumulate)
    of_bias = (*at(dy), db, *map(np.int32, numbers))
    return [
        Launch(FILE, f"local_weight_grad<{x.name}>", grid, (256,), args),
        Launch(FILE, f"local_bias_grad<{x.name}>", *over(dy.c * places), of_bias),
    ]


def _window(x: Map, y: Map, size: int, stride: int, padding: int) -> np.ndarray:
    return window(x, y, size=size, stride=(stride, stride), padding=padding, dilation=1)


def _sizes(x: Map, y: Map) -> np.ndarray:
    return struct(pictures=x.n, channels=x.c, filters=y.c, padded=y.pieces * y.piece)
