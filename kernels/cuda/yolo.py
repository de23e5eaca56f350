"""What the detection heads make of the map before them."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from .device import NAMES, Device, Launch, Map, over
from .order import Numbers, contents, order

__all__ = ["gaussian_yolo", "region", "region_inverse", "yolo"]

TILE = 32  # cells, and channels, that a block turns into planes


def yolo(
    device: Device,
    y: Numbers,
    x: Map,
    *,
    classes: int,
    scale_x_y: float = 1.0,
    new_coords: bool = False,
) -> list[Launch]:
    """Activate the map of a [yolo].

    y  a Map of x's type; or planes (n, c, h, w) float32, for the host to read
    """
    return _activated("NewYolo" if new_coords else "Yolo", y, x, 5 + classes, scale_x_y)


def gaussian_yolo(
    device: Device, y: Numbers, x: Map, *, classes: int, scale_x_y: float = 1.0
) -> list[Launch]:
    """Activate the map of a [Gaussian_yolo]; y as in `yolo`."""
    return _activated("GaussianYolo", y, x, 9 + classes, scale_x_y)


def _activated(head: str, y: Numbers, x: Map, entries: int, scale: float) -> list[Launch]:
    numbers = np.int32(entries), np.float32(scale)
    if isinstance(y, Map):
        count = x.pixels * x.pieces
        args = (x.array, np.int32(x.pitch), y.array, np.int32(y.pitch))
        sizes = (np.int32(x.c), np.int32(x.pieces), np.int32(count))
        kernel = f"head<{head}, {x.name}>"
        return [Launch("yolo.cu", kernel, *over(count), (*args, *sizes, *numbers))]
    cells = x.h * x.w
    grid = (-(-cells // TILE), -(-x.c // TILE), x.n)
    args = (x.array, np.int32(x.pitch), y, np.int32(x.c), np.int32(cells))
    return [Launch("yolo.cu", f"head_planes<{head}, {x.name}>", grid, (256,), (*args, *numbers))]


def region(
    device: Device, y: Numbers, x: Map, *, classes: int, counts: Sequence[int] = ()
) -> list[Launch]:
    """Activate what a [region] is given, and put it in the order (h, w, a, 5 + classes).

    y  an array (n, ...) float32, which holds the numbers one behind the other; or a Map in the
       shape of x, through whose planes they go on: what it holds at a pixel is not of that pixel
    """
    entries = 5 + classes
    boxes = x.c // entries
    count = x.pixels * boxes
    first = device.upload(np.fromiter(accumulate(counts, initial=0), np.int32))
    pad = y.pieces * y.piece - y.c if isinstance(y, Map) else 0
    args = (x.array, np.int32(x.pitch), contents(y), order(y), first, np.int32(len(counts)))
    sizes = map(np.int32, (x.h * x.w, boxes, entries, count, pad))
    kernel = f"region<{x.name}, {_type(y)}>"
    return [Launch("yolo.cu", kernel, *over(32 * count), (*args, *sizes))]


def region_inverse(device: Device, x: Map, y: Numbers, *, classes: int) -> list[Launch]:
    """Put numbers, in the order of what `region` gives, back in the order of x; y as there."""
    count = x.pixels * x.pieces
    args = (contents(y), order(y), x.array, np.int32(x.pitch))
    sizes = map(np.int32, (x.c, x.h * x.w, x.pieces, count))
    kernel = f"region_inverse<{_type(y)}, {x.name}>"
    return [Launch("yolo.cu", kernel, *over(count), (*args, *sizes))]


def _type(x: Any) -> str:
    return x.name if isinstance(x, Map) else NAMES["float"]
