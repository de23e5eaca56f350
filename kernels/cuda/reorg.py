"""Move blocks of stride x stride cells into channels and back; each op is the other's gradient."""

import numpy as np

from .device import Device, Launch, Map, ends, over, struct

__all__ = ["depth_to_space", "reorg", "reorg_inverse", "space_to_depth"]


def space_to_depth(device: Device, y: Map, x: Map, *, stride: int) -> list[Launch]:
    """y (n, s s c, h / s, w / s) = each block of cells of x as channels."""
    return [_launch(f"space_to_depth<{x.name}>", y, x, stride)]


def depth_to_space(device: Device, y: Map, x: Map, *, stride: int) -> list[Launch]:
    """y (n, c / s / s, h s, w s) = the inverse of `space_to_depth`."""
    return [_launch(f"depth_to_space<{x.name}>", y, x, stride)]


def reorg(device: Device, y: Map, x: Map, *, stride: int) -> list[Launch]:
    """y (n, s s c, h / s, w / s) = YOLOv2's move of x, of which neighbours are scattered."""
    return [_launch(f"reorg<{x.name}, false>", y, x, stride)]


def reorg_inverse(device: Device, y: Map, x: Map, *, stride: int) -> list[Launch]:
    """y (n, c / s / s, h s, w s) = the inverse of `reorg`."""
    return [_launch(f"reorg<{x.name}, true>", y, x, stride)]


def _launch(kernel: str, y: Map, x: Map, stride: int) -> Launch:
    blocks = struct(channels=y.c, height=y.h, width=y.w, given=x.c, stride=stride)
    count = y.pixels * y.pieces
    args = (*ends(x, y), blocks, np.int32(y.pieces), np.int32(count))
    return Launch("reorg.cu", kernel, *over(count), args)
