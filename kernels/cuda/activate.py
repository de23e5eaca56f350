"""Activations of maps."""

import numpy as np

from .device import Device, Launch, Map, act, ends, over

__all__ = ["activate", "activate_grad"]


def activate(device: Device, y: Map, x: Map, name: str) -> list[Launch]:
    """y = the activation of x, number by number."""
    count = x.pixels * x.pieces
    sizes = (np.int32(x.c), np.int32(x.pieces), np.int32(count))
    kernel = f"activate<{x.name}, {act(name)}>"
    return [Launch("activate.cu", kernel, *over(count), (*ends(x, y), *sizes))]


def activate_grad(device: Device, dx: Map, dy: Map, x: Map, name: str) -> list[Launch]:
    """dx = dy times the slope of the activation at x."""
    count = x.pixels * x.pieces
    sizes = (np.int32(x.c), np.int32(x.pieces), np.int32(count))
    kernel = f"activate_grad<{x.name}, {act(name)}>"
    return [Launch("activate.cu", kernel, *over(count), (*ends(dy, x, dx), *sizes))]
