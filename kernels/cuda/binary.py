"""Weights that are made of others, or of nothing."""

from typing import Any

import numpy as np

from .device import Device, Launch, Map, over

__all__ = ["binarize_weights", "blur_kernel"]

FILE = "binary.cu"


def binarize_weights(device: Device, y: Any, w: Any) -> list[Launch]:
    """y = per filter its mean magnitude with the signs of w (f, c, k, k)."""
    args = (w, y, np.int32(w.size // w.shape[0]))
    return [Launch(FILE, "binarize_weights", (w.shape[0],), (256,), args)]


def blur_kernel(device: Device, y: Any, like: Map, kind: int) -> list[Launch]:
    """y = the depthwise weights (c, 1, k, k) of antialiasing ``kind``, 1 or 2, for a map."""
    size = 3 if kind == 1 else 2
    count = like.c * size * size
    return [Launch(FILE, "blur_kernel", *over(count), (y, np.int32(size), np.int32(count)))]
