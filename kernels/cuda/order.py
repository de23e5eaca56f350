"""Where the numbers of pictures lie: in a map, or in an array of the device."""

import math
from typing import Any

import numpy as np

from .device import Map, struct

Numbers = Map | Any  # an array (n, ...)


def order(x: Numbers) -> np.ndarray:
    """Return the struct Order of a Map, or of an array without gaps (n, ...)."""
    if isinstance(x, Map):
        return struct(step=x.h * x.w * x.pitch, cells=x.h * x.w, pitch=x.pitch)
    return struct(step=math.prod(x.shape[1:]), cells=1, pitch=1)


def contents(x: Numbers) -> Any:
    """Return the array that holds them."""
    return x.array if isinstance(x, Map) else x


def strides(x: Numbers) -> np.ndarray:
    """Return the struct Strides of a Map, or of planes without gaps (n, c, h, w)."""
    if isinstance(x, Map):
        return struct(picture=x.h * x.w * x.pitch, pixel=x.pitch, channel=1)
    _, c, h, w = x.shape
    return struct(picture=c * h * w, pixel=1, channel=h * w)
