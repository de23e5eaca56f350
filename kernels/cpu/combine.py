"""Sums and products of maps, biases, and maps behind each other, divided among threads."""

from functools import partial

import numpy as np

from .. import reference
from .jit import jit
from .layout import dense, flat
from .threads import divide, run

__all__ = ["add", "bias", "concat", "multiply"]

PER_VALUE = 3e-4  # microseconds


def add(*xs):
    """Return the sum of maps of one shape, as the reference defines it.

    More than two, and maps that are not float32, go to the reference.
    """
    xs = [np.ascontiguousarray(x) for x in xs]
    return by_values(add_values, *xs) if len(xs) == 2 and dense(*xs) else reference.add(*xs)


def multiply(x, y):
    """Return x y, as the reference defines it; maps of two shapes, or with gaps, go there."""
    same = x.shape == y.shape and dense(x, y)
    return by_values(multiply_values, x, y) if same else reference.multiply(x, y)


def by_values(kernel, a, b):
    """Return what a kernel makes of each two values of arrays of one shape."""
    y = np.empty(a.shape, np.float32)
    flat_arrays = (x.reshape(-1) for x in (a, b, y))
    run(partial(kernel, *flat_arrays), divide(y.size, y.size * PER_VALUE))
    return y


def bias(x, b):
    """Add b (c,) to each channel of x (n, c, h, w); what is not dense goes to the reference."""
    if not dense(x, b):
        return reference.bias(x, b)
    y = np.empty(x.shape, np.float32)
    run(partial(add_biases, flat(x), b, flat(y)), divide(x.shape[1], x.size * PER_VALUE))
    return y


def concat(*xs):
    """Lay maps one behind the other, as the reference defines it; of one, or of gaps, it does."""
    if len(xs) == 1 or not dense(*xs):
        return reference.concat(*xs)
    n, _, h, w = xs[0].shape
    y = np.empty((n, sum(x.shape[1] for x in xs), h, w), np.float32)
    run(partial(copy_pictures, xs, y), divide(n, y.size * PER_VALUE))
    return y


def copy_pictures(xs, y, first, end):
    start = 0
    for x in xs:
        y[first:end, start : start + x.shape[1]] = x[first:end]
        start += x.shape[1]


@jit
def add_values(a, b, y, first, end):
    one, two, out = a[first:end], b[first:end], y[first:end]
    for i in range(len(out)):
        out[i] = one[i] + two[i]


@jit
def multiply_values(a, b, y, first, end):
    one, two, out = a[first:end], b[first:end], y[first:end]
    for i in range(len(out)):
        out[i] = one[i] * two[i]


@jit
def add_biases(x, b, y, first, end):
    """Fill channels first..end of y, (n, c, cells) like x."""
    for image in range(len(x)):
        for c in range(first, end):
            more, line, out = b[c], x[image, c], y[image, c]
            for i in range(len(line)):
                out[i] = line[i] + more
