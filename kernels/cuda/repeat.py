"""Give every picture the same map."""

from typing import Any

import numpy as np

from .device import Device, Launch, Map, ends, over
from .layout import from_pictures

__all__ = ["repeat", "repeat_grad"]


def repeat(device: Device, y: Map, w: Any, x: Any) -> list[Launch]:
    """y = w, float32 (c, h, w), for each picture of y, which are as many as those of x."""
    return [from_pictures(y, w, 0)]


def repeat_grad(device: Device, dw: Any, dy: Map) -> list[Launch]:
    """dw = the sum of dy over the pictures."""
    count = dy.h * dy.w * dy.pieces
    sizes = (dy.n, dy.h * dy.w, dy.c, dy.pieces, count)
    args = (*ends(dy), dw.reshape(-1), *map(np.int32, sizes))
    return [Launch("repeat.cu", f"repeat_grad<{dy.name}>", *over(count), args)]
