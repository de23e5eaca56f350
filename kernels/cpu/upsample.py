"""Nearest-neighbour upsampling, channel by channel."""

from functools import partial

import numpy as np

from .. import reference
from .jit import jit
from .layout import dense
from .threads import divide, run

__all__ = ["upsample", "upsample_grad"]

PER_VALUE = 4e-4  # microseconds, of the larger map


def upsample(x, *, stride, scale):
    """Make each cell of x a block of stride x stride cells, as the reference defines it.

    What is not float32 without gaps goes to the reference.
    """
    if not dense(x):
        return reference.upsample(x, stride=stride, scale=scale)
    n, c, h, w = x.shape
    y = np.empty((n, c, h * stride, w * stride), np.float32)
    rows, blocks = x.reshape(n * c * h, w), y.reshape(n * c * h, stride, w * stride)
    kernel = partial(repeat, rows, blocks, np.float32(scale))
    run(kernel, divide(len(rows), y.size * PER_VALUE))
    return y


def upsample_grad(dy, *, stride, scale):
    """Return the gradient of x, the sum of each block; what is not float32 goes as above."""
    dy = np.ascontiguousarray(dy)
    if not dense(dy):
        return reference.upsample_grad(dy, stride=stride, scale=scale)
    n, c, h, w = dy.shape
    dx = np.empty((n, c, h // stride, w // stride), np.float32)
    rows = dx.reshape(-1, w // stride)
    kernel = partial(gather, dy.reshape(len(rows), stride, w), rows, np.float32(scale))
    run(kernel, divide(len(rows), dy.size * PER_VALUE))
    return dx


@jit
def repeat(x, y, scale, first, end):
    """Fill rows first..end of blocks y (rows, stride, w stride) from x (rows, w)."""
    stride = y.shape[1]
    for row in range(first, end):
        line, out = x[row], y[row, 0]
        for i in range(len(line)):
            value = line[i] * scale
            for j in range(stride):
                out[i * stride + j] = value
        for j in range(1, stride):
            y[row, j] = out


@jit
def gather(dy, dx, scale, first, end):
    """Fill rows first..end of dx (rows, w) with the sums of blocks of dy (rows, stride, w s)."""
    stride = dy.shape[1]
    for row in range(first, end):
        out = dx[row]
        for i in range(len(out)):
            total = np.float32(0)
            for down in range(stride):
                for right in range(stride):
                    total += dy[row, down, i * stride + right]
            out[i] = total * scale
