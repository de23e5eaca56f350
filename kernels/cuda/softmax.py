"""Softmax over channels, or over runs of a picture's numbers, and its gradient."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from .device import Device, Launch, Map, ends
from .lanes import WARP, lanes, over_pixels
from .layout import copy

__all__ = ["softmax", "softmax_grad"]

FILE = "softmax.cu"


def softmax(
    device: Device,
    y: Map,
    x: Map,
    *,
    counts: Sequence[int] | None = None,
    temperature: float = 1.0,
) -> list[Launch]:
    """y = e^(x / temperature) as shares of its sum over channels, or over runs of ``counts``.

    Runs are of the numbers of each picture in the order c, h, w; what is behind them is copied.
    """
    sharpness = np.float32(1 / temperature)
    if counts is None:
        sizes = map(np.int32, (lanes(x), x.c, x.pieces, x.pixels))
        args = (*ends(x, y), sharpness, *sizes)
        return [Launch(FILE, f"softmax<{x.name}>", *over_pixels(x), args)]
    args = (*ends(x, y), *_runs(device, y, counts), sharpness)
    grid = (len(counts), x.n)
    return [*copy(device, y, x), Launch(FILE, f"softmax_runs<{x.name}>", grid, (WARP,), args)]


def softmax_grad(
    device: Device,
    dx: Map,
    dy: Map,
    y: Map,
    *,
    counts: Sequence[int] | None = None,
    temperature: float = 1.0,
) -> list[Launch]:
    """dx = the gradient of what `softmax` was given, by that of y, and y."""
    sharpness = np.float32(1 / temperature)
    if counts is None:
        sizes = map(np.int32, (lanes(y), y.pieces, y.pixels))
        args = (*ends(dy, y, dx), sharpness, *sizes)
        return [Launch(FILE, f"softmax_grad<{y.name}>", *over_pixels(y), args)]
    args = (*ends(dy, y, dx), *_runs(device, y, counts), sharpness)
    kernel = f"softmax_runs_grad<{y.name}>"
    return [*copy(device, dx, dy), Launch(FILE, kernel, (len(counts), y.n), (WARP,), args)]


def _runs(device: Device, y: Map, counts: Sequence[int]) -> tuple[np.int32, Any]:
    """Return the cells of a picture, and where runs begin and the last one ends."""
    starts = np.array(list(accumulate(counts, initial=0)), np.int32)
    return np.int32(y.h * y.w), device.upload(starts)
