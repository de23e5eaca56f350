"""Activations of maps."""

import numpy as np

from .device import Device, Launch, Map, act, over

__all__ = ["activate", "activate_grad"]


def activate(device: Device, y: Map, x: Map, name: str) -> list[Launch]:
    """y = the activation of x, number by number."""
    count = x.pixels * x.pieces
    args = (x.array, np.int32(x.pitch), y.array, np.int32(y.pitch))
    sizes = (np.int32(x.c), np.int32(x.pieces), np.int32(count))
    kernel = f"activate<{x.name}, {act(name)}>"
    return [Launch("activate.cu", kernel, *over(count), (*args, *sizes))]


def activate_grad(device: Device, dx: Map, dy: Map, x: Map, name: str) -> list[Launch]:
    """dx = dy times the slope of the activation at x."""
    count = x.pixels * x.pieces
    pairs = ((one.array, np.int32(one.pitch)) for one in (dy, x, dx))
    args = tuple(part for pair in pairs for part in pair)
    sizes = (np.int32(x.c), np.int32(x.pieces), np.int32(count))
    kernel = f"activate_grad<{x.name}, {act(name)}>"
    return [Launch("activate.cu", kernel, *over(count), (*args, *sizes))]
