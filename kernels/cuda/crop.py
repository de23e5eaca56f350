"""Cut a rectangle of the same size out of each picture, mirrored or not."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import Device, Launch, Map, ends, over

__all__ = ["crop", "crop_grad"]


def crop(
    device: Device,
    y: Map,
    x: Map,
    places: Any,
    *,
    height: int,
    width: int,
    scale: float,
    offset: float,
) -> list[Launch]:
    """y = scale x + offset at the places (n, 3), which may be others in each run."""
    count = y.pixels * y.pieces
    args = (*_sized(x), *_sized(y), places, np.float32(scale), np.float32(offset))
    sizes = map(np.int32, (y.c, y.pieces, count))
    return [Launch("crop.cu", f"crop<{x.name}>", *over(count), (*args, *sizes))]


def crop_grad(
    device: Device, dx: Map, dy: Map, places: Any, *, shape: Sequence[int], scale: float
) -> list[Launch]:
    """dx, of ``shape``, = scale dy where it was taken from, elsewhere 0."""
    count = dx.pixels * dx.pieces
    args = (*_sized(dy), *_sized(dx), places, np.float32(scale))
    sizes = map(np.int32, (dx.pieces, count))
    return [Launch("crop.cu", f"crop_grad<{dx.name}>", *over(count), (*args, *sizes))]


def _sized(x: Map) -> tuple[Any, ...]:
    return (*ends(x), np.int32(x.h), np.int32(x.w))
