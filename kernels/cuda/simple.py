"""Zeros and signs."""

import numpy as np

from .device import Device, Launch, Map, ends, over

__all__ = ["signs", "zeros_like"]


def zeros_like(device: Device, y: Map, x: Map) -> list[Launch]:
    """y = zeros."""
    count = y.pixels * y.pieces
    args = (*ends(y), np.int32(y.pieces), np.int32(count))
    return [Launch("simple.cu", f"fill_zeros<{y.name}>", *over(count), args)]


def signs(device: Device, y: Map, x: Map) -> list[Launch]:
    """y = 1 where x is positive, -1 elsewhere."""
    count = y.pixels * y.pieces
    args = (*ends(x, y), np.int32(y.c), np.int32(y.pieces), np.int32(count))
    return [Launch("simple.cu", f"signs<{y.name}>", *over(count), args)]
