"""Sums of maps."""

import numpy as np

from .device import Device, Launch, Map, act, ends, over

__all__ = ["add"]

MOST = 4  # maps of a launch


def add(device: Device, y: Map, *xs: Map, activation: str = "linear") -> list[Launch]:
    """y = the activation of the sum of two maps or more, four in a launch.

    Of more the sum of the first ones is rounded to the type of y in between.
    """
    if len(xs) > MOST:
        return add(device, y, *xs[:MOST]) + add(device, y, y, *xs[MOST:], activation=activation)
    count = y.pixels * y.pieces
    given = (*xs, *[xs[0]] * (MOST - len(xs)))
    sizes = (np.int32(y.c), np.int32(y.pieces), np.int32(count))
    kernel = f"add<{y.name}, {act(activation)}, {len(xs)}>"
    return [Launch("add.cu", kernel, *over(count), (*ends(*given, y), *sizes))]
