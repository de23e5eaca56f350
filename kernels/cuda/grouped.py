"""Convolution of groups of any size, and its gradients."""

from typing import Any

import numpy as np

from .device import Device, Launch, Map, Scratch, act, over, struct
from .window import RESIDUALS, at, window

FILE = "grouped.cu"
COLUMNS = 4  # places of a thread
STRANDS, PIECES = 32, 8  # of a block of `grouped_weight_grad`


def bands(y: Map, x: Map, groups: int) -> np.ndarray:
    """Return ``Bands`` (grouped.cu): which of x's channels those of y depend on."""
    outputs, inputs, p = y.c // groups, x.c // groups, x.piece
    depth = 0
    for first in range(0, y.c, p):
        start = first // outputs * inputs // p
        end = ((min(first + p, y.c) - 1) // outputs + 1) * inputs
        depth = max(depth, -(-end // p) - start)
    return struct(outputs=y.c, inputs=x.c, group_outputs=outputs, group_inputs=inputs, depth=depth)


def band_count(y: Map, x: Map, groups: int, size: int) -> int:
    """Return the numbers of the weights as `pack_bands` lays them out."""
    return -(-y.c // x.piece) * size * size * int(bands(y, x, groups)["depth"]) * x.piece**2


def pack_bands(
    device: Device, packed: Any, w: Any, *, y: Map, x: Map, groups: int, back: bool = False
) -> list[Launch]:
    """packed = w (f, c / groups, k, k) for `grouped` of x to y.

    back  for the gradient: y has the channels, x the filters
    """
    size = w.shape[2]
    count = band_count(y, x, groups, size)
    args = (w, packed, bands(y, x, groups), np.int32(size * size), np.int32(count))
    return [Launch(FILE, f"pack_bands<{x.name}, {_bool(back)}>", *over(count), args)]


def grouped(
    device: Device,
    y: Map,
    x: Map,
    packed: Any,
    bias: Any = None,
    r: Map | None = None,
    *,
    groups: int,
    back: bool = False,
    activation: str = "linear",
    residual: str | None = None,
    **numbers: Any,
) -> list[Launch]:
    """y = the activation of x convolved with packed weights, plus bias (f); r is added.

    back      y is the gradient of the input, given x, that of the result
    residual  "before" the activation or "after" it; None: there is no r
    numbers   size, stride, padding, dilation
    """
    assert r is None or r.type == y.type, (r, y.type)
    pieces = -(-y.c // x.piece)
    count = y.n * y.h * -(-y.w // COLUMNS) * pieces
    windows = window(y, x, **numbers) if back else window(x, y, **numbers)
    kernel = f"grouped<{x.name}, {y.name}, {act(activation)}, {RESIDUALS[residual]}, {_bool(back)}>"
    args = (*at(x), packed, bias, *at(r), *at(y), windows, bands(y, x, groups))
    sizes = (np.int32(pieces), np.int32(count))
    return [Launch(FILE, kernel, *over(count, 128), (*args, *sizes))]


def grouped_weight_grad(
    device: Device,
    dw: Any,
    dy: Map,
    x: Map,
    *,
    groups: int,
    accumulate: bool = False,
    **numbers: Any,
) -> list[Launch]:
    """dw (f, c / groups, k, k) = the gradient of the weights, or is added to what is there."""
    assert dy.type == x.type, (dy.type, x.type)
    of, taps, lines = bands(dy, x, groups), numbers["size"] ** 2, dy.n * dy.h
    across, deep = -(-dy.pieces // PIECES), taps * int(of["depth"])
    wanted = max(1, 4 * device.processors // (across * deep))
    count = min(wanted, -(-lines // STRANDS))
    parts = Scratch(count * deep * dy.pieces * dy.piece**2)
    args = (*at(dy), *at(x), parts, window(x, dy, **numbers), of)
    sizes = (np.int32(dy.pieces), np.int32(lines))
    grid, block = (across, count, deep), (STRANDS * PIECES,)
    total = dy.c * (x.c // groups) * taps
    last = (np.int32(dy.pieces), np.int32(taps), np.int32(accumulate))
    return [
        Launch(FILE, f"grouped_weight_grad<{x.name}>", grid, block, (*args, *sizes)),
        Launch(FILE, f"sum_bands<{x.name}>", *over(total), (parts, dw, np.int32(count), of, *last)),
    ]


def _bool(value: bool) -> str:
    return "true" if value else "false"
