"""Activations of maps; those over channels of arrays (n, c, h, w) of parameters too."""

from typing import Any

import numpy as np

from ..common.activations import ACTIVATIONS
from .device import Device, Launch, Map, act, ends, over
from .lanes import lanes, over_pixels

__all__ = ["activate", "activate_grad"]


def activate(device: Device, y: Any, x: Any, name: str) -> list[Launch]:
    """y = the activation of x, number by number or over channels."""
    if ACTIVATIONS[name].over_channels:
        return [_over_channels("shares", name, (x, y))]
    count = x.pixels * x.pieces
    sizes = (np.int32(x.c), np.int32(x.pieces), np.int32(count))
    kernel = f"activate<{x.name}, {act(name)}>"
    return [Launch("activate.cu", kernel, *over(count), (*ends(x, y), *sizes))]


def activate_grad(device: Device, dx: Any, dy: Any, x: Any, name: str) -> list[Launch]:
    """dx = the gradient of x, what went into the activation, by that of its value."""
    if ACTIVATIONS[name].over_channels:
        return [_over_channels("shares_grad", name, (dy, x, dx))]
    count = x.pixels * x.pieces
    sizes = (np.int32(x.c), np.int32(x.pieces), np.int32(count))
    kernel = f"activate_grad<{x.name}, {act(name)}>"
    return [Launch("activate.cu", kernel, *over(count), (*ends(dy, x, dx), *sizes))]


def _over_channels(kernel: str, name: str, maps: tuple[Any, ...]) -> Launch:
    """Return the launch for maps or for planar arrays."""
    x, parts = maps[0], f"parts::{ACTIVATIONS[name].name}"
    if isinstance(x, Map):
        sizes = map(np.int32, (lanes(x), x.c, x.pieces, x.pixels))
        full = f"{kernel}<{x.name}, {parts}>"
        return Launch("shares.cu", full, *over_pixels(x), (*ends(*maps), *sizes))
    n, c, h, w = x.shape
    sizes = map(np.int32, (c, h * w, n * h * w))
    args = (*(one.reshape(-1) for one in maps), *sizes)
    return Launch("shares.cu", f"planar_{kernel}<{parts}>", *over(n * h * w), args)
