"""The largest value of each window, first along columns, then along rows; and its gradient."""

from functools import partial

import numpy as np

from .. import reference
from ..common.geometry import pool_output
from .jit import inline, jit
from .layout import dense, planar
from .threads import divide, run

__all__ = ["maxpool", "maxpool_grad"]

LEAST = np.finfo(np.float32).min
PER_VALUE = 4e-4  # microseconds, for each row and column of a window


def maxpool(x, *, size, stride, padding):
    """Return the largest value of each window of size x size of x, as the reference defines it.

    Maps that are not float32, or whose pictures have gaps, go to the reference.
    """
    if not planar(x):
        return reference.maxpool(x, size=size, stride=stride, padding=padding)
    n, c, height, width = x.shape
    rows = pool_output(height, size, stride[0], padding)
    cols = pool_output(width, size, stride[1], padding)
    y = np.empty((n, c, rows, cols), np.float32)
    parts = divide(c, c * rows * cols * size * PER_VALUE)
    for image in range(n):
        if stride == (1, 1) and padding <= min(height, width):
            largest = partial(largest_of_runs, x[image], y[image], size, padding // 2)
        else:
            largest = partial(largest_of_lines, x[image], y[image], size, *stride, padding // 2)
        run(largest, parts)
    return y


def maxpool_grad(dy, x, y, *, size, stride, padding):
    """Return the gradient of x, as the reference defines it: of equal cells the first has it.

    What is not float32 without gaps goes to the reference.
    """
    dy = np.ascontiguousarray(dy)
    if not dense(dy, x, y):
        return reference.maxpool_grad(dy, x, y, size=size, stride=stride, padding=padding)
    dx = np.empty(x.shape, np.float32)
    maps = (one.reshape(-1, *one.shape[2:]) for one in (dy, x, y, dx))
    work = x.size * PER_VALUE + y.size * size * size * PER_VALUE
    run(partial(give_back, *maps, size, *stride, padding // 2), divide(len(x) * x.shape[1], work))
    return dx


@jit
def largest_of_runs(x, y, size, before, first, end):
    """Fill channels first..end of y (c, h', w') with the largest cells of x (c, h, w), at stride 1.

    A whole map is one run of memory within its border; the ends of its rows are left out after.
    """
    height = x.shape[1]
    rows, cols = y.shape[1:]
    wide = cols + size - 1
    cells = np.full((rows + size - 1, wide), LEAST)
    flat = cells.reshape(-1)
    high, largest = np.empty(rows * wide, np.float32), np.empty(rows * wide, np.float32)
    run = largest[: (rows - 1) * wide + cols]
    for c in range(first, end):
        for row in range(min(height, len(cells) - before)):
            copy(cells[before + row, before:], x[c, row])
        copy(high, flat)
        for i in range(1, size):
            keep_larger(high, flat[i * wide :], 1)
        copy(run, high)
        for j in range(1, size):
            keep_larger(run, high[j:], 1)
        for row in range(rows):
            copy(y[c, row], largest[row * wide :])


@jit
def largest_of_lines(x, y, size, down, right, before, first, end):
    """Fill channels first..end of y (c, h', w') with the largest cells of x, row by row."""
    height, width = x.shape[1:]
    rows, cols = y.shape[1:]
    line = np.empty(width, np.float32)
    for c in range(first, end):
        for row in range(rows):
            start = row * down - before
            line[:] = LEAST
            for i in range(max(0, start), min(height, start + size)):
                keep_larger(line, x[c, i], 1)
            out = y[c, row]
            out[:] = LEAST
            for j in range(max(-before, (1 - cols) * right), min(size - before, width)):
                low = max(0, -(j // right))
                high = min(cols, (width - 1 - j) // right + 1)
                keep_larger(out[low:high], line[low * right + j :], right)


@jit
def give_back(dy, x, y, dx, size, down, right, before, first, end):
    """Fill maps first..end of dx, like x (maps, h, w); dy and y are (maps, h', w').

    What a window has to give goes to the first of its cells that equals y, and then it has none.
    """
    height, width = x.shape[1:]
    rows, cols = y.shape[1:]
    left = np.empty(cols, np.float32)
    for m in range(first, end):
        dx[m] = 0
        for row in range(rows):
            copy(left, dy[m, row])
            start = row * down - before
            for i in range(max(0, start), min(height, start + size)):
                for j in range(max(-before, (1 - cols) * right), min(size - before, width)):
                    low = max(0, -(j // right))
                    high = min(cols, (width - 1 - j) // right + 1)
                    at = low * right + j
                    give(left[low:high], y[m, row, low:high], x[m, i, at:], dx[m, i, at:], right)


@inline
def give(left, largest, cells, out, step):
    """Move what is left to every ``step``-th cell that is the largest of its window."""
    zero = np.float32(0)
    if step == 1:
        for i in range(len(left)):
            hit = cells[i] == largest[i]
            out[i] += left[i] if hit else zero
            left[i] = zero if hit else left[i]
    elif step == 2:
        for i in range(len(left)):
            hit = cells[2 * i] == largest[i]
            out[2 * i] += left[i] if hit else zero
            left[i] = zero if hit else left[i]
    else:
        for i in range(len(left)):
            hit = cells[step * i] == largest[i]
            out[step * i] += left[i] if hit else zero
            left[i] = zero if hit else left[i]


@inline
def copy(line, cells):
    for i in range(min(len(line), len(cells))):
        line[i] = cells[i]


@inline
def keep_larger(line, cells, step):
    """Put every ``step``-th of the cells in line where it is larger, or not a number."""
    if step == 1:
        for i in range(len(line)):
            line[i] = larger(line[i], cells[i])
    elif step == 2:  # a constant: LLVM shuffles vectors for it
        for i in range(len(line)):
            line[i] = larger(line[i], cells[2 * i])
    else:
        for i in range(len(line)):
            line[i] = larger(line[i], cells[step * i])


@inline
def larger(a, b):
    return b if b > a or b != b else a
