"""Batch normalisation in one pass."""

from functools import partial

import numpy as np

from .. import reference
from ..common.geometry import BATCHNORM_EPSILON
from .jit import jit
from .layout import dense, planar
from .threads import divide, run

__all__ = ["batchnorm"]

EPSILON = np.float32(BATCHNORM_EPSILON)
PER_VALUE = 2.5e-4  # microseconds


def batchnorm(x, scales, biases, mean, variance):
    """Return (x - mean) / sqrt(variance + 1e-5) * scales + biases, as the reference defines it.

    Maps that are not float32, or whose pictures have gaps, go to the reference.
    """
    if not (planar(x) and dense(scales, biases, mean, variance)):
        return reference.batchnorm(x, scales, biases, mean, variance)
    y = np.empty(x.shape, np.float32)
    factors = scales / np.sqrt(variance + EPSILON)
    parts = divide(x.shape[1], x[0].size * PER_VALUE)
    for image, out in zip(x, y, strict=True):
        flat, flat_out = (map_.reshape(len(map_), -1) for map_ in (image, out))
        run(partial(normalize, flat, factors, biases, mean, flat_out), parts)
    return y


@jit
def normalize(x, factors, biases, mean, y, first, end):
    """Fill channels first..end of y, (c, cells) like x."""
    for c in range(first, end):
        less, factor, more = mean[c], factors[c], biases[c]
        line, out = x[c], y[c]
        for i in range(len(line)):
            out[i] = (line[i] - less) * factor + more
