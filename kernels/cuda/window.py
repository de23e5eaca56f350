"""The numbers of a convolution's windows, and of what follows its sums."""

import numpy as np

from .device import Map, struct

RESIDUALS = {None: "NONE", "before": "BEFORE", "after": "AFTER"}


def window(
    x: Map,
    y: Map,
    *,
    size: int | tuple[int, int],
    stride: tuple[int, int],
    padding: int,
    dilation: int,
) -> np.ndarray:
    """Return a ``Window`` (window.cuh) of a convolution of x to y.

    size  of the side of a window, or its (rows, columns)
    """
    high, wide = size if isinstance(size, tuple) else (size, size)
    return struct(
        h=x.h,
        w=x.w,
        rows=y.h,
        cols=y.w,
        high=high,
        wide=wide,
        down=stride[0],
        right=stride[1],
        padding=padding,
        dilation=dilation,
    )


def at(x: Map | None) -> tuple:
    """Return the two arguments that stand for a map, or for none: its array and its pitch."""
    return (x.array, np.int32(x.pitch)) if x else (None, np.int32(0))
