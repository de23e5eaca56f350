"""Nearest-neighbour upsampling, and the sums over blocks that are its gradient."""

import numpy as np

from .device import Device, Launch, Map, ends, over

__all__ = ["upsample", "upsample_grad"]


def upsample(device: Device, y: Map, x: Map, *, stride: int, scale: float) -> list[Launch]:
    """y = scale x, each cell as a block of stride x stride."""
    return [_launch("upsample", x, y, x, stride, scale)]


def upsample_grad(device: Device, dx: Map, dy: Map, *, stride: int, scale: float) -> list[Launch]:
    """dx = scale times the sum of each block of dy."""
    return [_launch("upsample_grad", dy, dx, dx, stride, scale)]


def _launch(kernel: str, given: Map, gives: Map, small: Map, stride: int, scale: float) -> Launch:
    count = small.pixels * small.pieces
    sizes = (np.int32(small.w), np.int32(stride), np.float32(scale))
    args = (*ends(given, gives), *sizes, np.int32(small.pieces), np.int32(count))
    return Launch("upsample.cu", f"{kernel}<{small.name}>", *over(count), args)
