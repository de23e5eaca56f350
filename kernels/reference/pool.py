"""Pooling: the largest or the mean value of each window, of a whole channel, or over channels.

Window i of a line begins at cell i * stride - padding // 2, where ``padding`` counts the cells of
both sides together (darknet's maxpool_layer.c). Cells outside the map take no part; the largest
of a window without a cell is the least number of its dtype, its mean 0.
"""

import numpy as np

from ..common.geometry import pool_output
from .conv2d import inside

__all__ = [
    "avgpool",
    "avgpool_grad",
    "local_avgpool",
    "local_avgpool_grad",
    "maxpool",
    "maxpool_depth",
    "maxpool_depth_grad",
    "maxpool_grad",
    "zero_nonmax",
    "zero_nonmax_grad",
]


def maxpool(x, *, size, stride, padding):
    """Return the largest value of each window of size x size of x (n, c, h, w).

    stride   (y, x); padding is of both sides together
    returns  (n, c, h', w'), h' = (h + padding - size) // stride + 1
    """
    rows, cols = lines(x.shape, size, stride, padding)
    high = filled((*x.shape[:2], rows.count, x.shape[3]), x)
    for places, cells in rows:
        part = high[:, :, places]
        np.maximum(part, x[:, :, cells], out=part)
    y = filled((*high.shape[:3], cols.count), x)
    for places, cells in cols:
        part = y[..., places]
        np.maximum(part, high[..., cells], out=part)
    return y


def maxpool_grad(dy, x, y, *, size, stride, padding):
    """Return the gradient of x, given that of y = maxpool(x); of equal cells the first has it."""
    rows, cols = lines(x.shape, size, stride, padding)
    xp = x.__array_namespace__()
    dx, free = xp.zeros(x.shape, dy.dtype), xp.ones(y.shape, bool)
    for high, deep in rows:
        for left, wide in cols:
            hit = (x[:, :, deep, wide] == y[:, :, high, left]) & free[:, :, high, left]
            dx[:, :, deep, wide] += dy[:, :, high, left] * hit
            free[:, :, high, left] &= ~hit
    return dx


def zero_nonmax(y, x):
    """Keep of y = maxpool(x), of the shape of x, the cells that are their own window's largest."""
    return y * (x == y)


def zero_nonmax_grad(dz, y, x):
    """Return the gradient of x, given that of zero_nonmax(y, x)."""
    return dz * (x == y)


def maxpool_depth(x, *, channels):
    """Return for channel g the largest of the channels g, g + channels, ... of x, cell by cell."""
    y = x[:, :channels].copy()
    for first in range(channels, x.shape[1], channels):
        more = x[:, first : first + channels]
        part = y[:, : more.shape[1]]
        np.maximum(part, more, out=part)
    return y


def maxpool_depth_grad(dy, x, y):
    """Return the gradient of x, given that of y = maxpool_depth(x); the first of equals has it."""
    xp = x.__array_namespace__()
    dx, free = xp.zeros(x.shape, dy.dtype), xp.ones(y.shape, bool)
    channels = y.shape[1]
    for first in range(0, x.shape[1], channels):
        more = x[:, first : first + channels]
        count = more.shape[1]
        hit = (more == y[:, :count]) & free[:, :count]
        dx[:, first : first + count] = dy[:, :count] * hit
        free[:, :count] &= ~hit
    return dx


def local_avgpool(x, *, size, stride, padding):
    """Return the mean of the cells in each window of size x size of x (n, c, h, w)."""
    rows, cols = lines(x.shape, size, stride, padding)
    xp = x.__array_namespace__()
    high = xp.zeros((*x.shape[:2], rows.count, x.shape[3]), x.dtype)
    for places, cells in rows:
        high[:, :, places] += x[:, :, cells]
    y = xp.zeros((*high.shape[:3], cols.count), x.dtype)
    for places, cells in cols:
        y[..., places] += high[..., cells]
    return y * xp.asarray(shares(rows, cols), x.dtype)


def local_avgpool_grad(dy, *, shape, size, stride, padding):
    """Return the gradient of x, of ``shape`` (n, c, h, w), given that of its local_avgpool."""
    rows, cols = lines(shape, size, stride, padding)
    xp = dy.__array_namespace__()
    dy = dy * xp.asarray(shares(rows, cols), dy.dtype)
    high = xp.zeros((*dy.shape[:3], shape[3]), dy.dtype)
    for places, cells in cols:
        high[..., cells] += dy[..., places]
    dx = xp.zeros(shape, dy.dtype)
    for places, cells in rows:
        dx[:, :, cells] += high[:, :, places]
    return dx


def avgpool(x):
    """Return the mean (n, c, 1, 1) of each channel of x (n, c, h, w)."""
    return x.mean((2, 3), keepdims=True)


def avgpool_grad(dy, *, shape):
    """Return the gradient of x, of ``shape`` (n, c, h, w), given that of its avgpool."""
    xp = dy.__array_namespace__()
    return xp.broadcast_to(dy / (shape[2] * shape[3]), shape).copy()


class Line(list):
    """The windows along one axis: per offset within them (slice of the places, of the cells)."""

    def __init__(self, n, size, stride, padding):
        self.count = pool_output(n, size, stride, padding)
        before = padding // 2
        start, stop = max(0, before - (self.count - 1) * stride), min(size, before + n)
        for offset in range(start - before, stop - before):
            first, last = inside(n, stride, offset, 0, self.count)
            if first < last:
                cells = slice(first * stride + offset, (last - 1) * stride + offset + 1, stride)
                self.append((slice(first, last), cells))

    def cells(self):
        """Return how many cells each window has, at least 1."""
        found = np.zeros(self.count, int)
        for places, _ in self:
            found[places] += 1
        return np.maximum(found, 1)


def lines(shape, size, stride, padding):
    """Return the windows along rows and columns of a map of ``shape`` (n, c, h, w)."""
    return tuple(Line(n, size, s, padding) for n, s in zip(shape[2:], stride, strict=True))


def shares(rows, cols):
    """Return 1 / the number of cells of each window, (rows, cols)."""
    return 1 / np.outer(rows.cells(), cols.cells())


def filled(shape, like):
    """Return an array of the least finite number, with the dtype and on the device of ``like``."""
    return like.__array_namespace__().full(shape, np.finfo(like.dtype).min, like.dtype)
