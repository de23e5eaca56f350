"""Convolution with windows of 3 x 3 cells at stride 1, in 16 products for every 36.

F(2 x 2, 3 x 3) of Lavin and Gray 2015 (https://arxiv.org/abs/1509.09308): tiles of 4 x 4 cells,
two apart, and the weights are transformed; a product of matrices for each of the 16 places of a
tile sums over channels; and transforming that gives 2 x 2 cells of the output. The transforms of
cells only add, so the result is no less exact than the direct sum. The gradient of the weights
takes the same products the other way round.
"""

from functools import partial

import numpy as np

from . import blas
from .jit import inline, jit
from .scratch import scratch
from .threads import divide, run

__all__ = ["convolve", "pays", "weight_grad"]

FEWEST = 128  # tiles for which the weights are worth transforming
THINNEST = 16  # channels and filters
MOST = 1 << 20  # values of transformed tiles that a thread has at a time
DEEP = 512  # tiles it has at least, if there are as many: each time all weights are read
PRODUCTS = 100_000  # multiply-adds of the plain sum that a core does in a microsecond
PER_WEIGHT = 0.003  # microseconds

LINE = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], np.float32)
WEIGHTS = np.kron(LINE, LINE)  # (16, 9), makes the weights of a window those of a tile's places


def pays(shape, per, groups, geometry):
    """Return whether this way is faster, for an output of shape (n, f, h', w') of ``per`` channels.

    geometry  (k, stride y, stride x, padding, dilation)
    """
    k, down, right, _, dilation = geometry
    n, f, rows, cols = shape
    plain = (k, down, right, dilation, groups) == (3, 1, 1, 1, 1)
    return plain and min(f, per) >= THINNEST and n * lines(rows) * lines(cols) >= FEWEST


def lines(cells):
    """Return how many tiles cover a line of the output."""
    return (cells + 1) // 2


def convolve(x, w, y, padding, turned=False):
    """Fill y (n, f, h', w') with the convolution of x (n, c, h, w) and w (f, c, 3, 3).

    turned  w is (c, f, 3, 3), and its windows are turned about: so y is the gradient of the input
    """
    n, _, rows, _ = y.shape
    c, size = x.shape[1], len(w) * w.shape[1]
    weights = np.empty((16, size), np.float32)
    matrix = WEIGHTS[:, ::-1] if turned else WEIGHTS
    work = partial(transform_weights, matrix, w.reshape(-1, 9), weights)
    with blas.one_thread():
        run(work, divide(size, size * PER_WEIGHT))
        weights = weights.reshape(16, *w.shape[:2])
        weights = weights.swapaxes(1, 2) if turned else weights
        work = partial(convolve_lines, x, weights, y, padding)
        run(work, divide(n * lines(rows), y.size * c * 9 / PRODUCTS))


def transform_weights(matrix, w, weights, first, end):
    np.matmul(matrix, w[first:end].T, out=weights[:, first:end])


def convolve_lines(x, weights, y, padding, first, end):
    """Do what `convolve` does for the lines of tiles first..end, of all pictures in turn."""
    _, f, c = weights.shape
    for chunk, tiles in chunks(first, end, y, c + f):
        values = scratch(16 * tiles * (c + f))
        cells = values[: 16 * tiles * c].reshape(16, c, tiles)
        sums = values[16 * tiles * c :].reshape(16, f, tiles)
        for image, top, bottom, at in chunk:
            transform_cells(x[image], cells, at, padding, top, bottom, lines(y.shape[3]))
        np.matmul(weights, cells, out=sums)
        for image, top, bottom, at in chunk:
            restore_cells(sums, y[image], at, top, bottom)


def weight_grad(dy, x, dw, padding):
    """Fill dw (f, c, 3, 3) with the gradient that dy (n, f, h', w') and x (n, c, h, w) give.

    Each thread has filters of its own, so that no sum is divided.
    """
    f, c = dw.shape[:2]
    sums = np.empty((16, f, c), np.float32)
    work = partial(correlate_filters, dy, x, sums, padding)
    with blas.one_thread():
        run(work, divide(f, dy.size * c * 9 / PRODUCTS))
        work = partial(restore_weights, sums.reshape(16, -1), dw.reshape(-1, 9))
        run(work, divide(f * c, f * c * PER_WEIGHT))


def restore_weights(sums, dw, first, end):
    np.matmul(sums[:, first:end].T, WEIGHTS, out=dw[first:end])


def correlate_filters(dy, x, sums, padding, first, end):
    """Fill the filters first..end of sums (16, f, c)."""
    n, c = x.shape[:2]
    f = end - first
    rows, cols = dy.shape[2:]
    sums = sums[:, first:end]
    product = np.empty((f, c), np.float32)
    for turn, (chunk, tiles) in enumerate(chunks(0, n * lines(rows), dy, c + f)):
        values = scratch(16 * tiles * (c + f))
        cells = values[: 16 * tiles * c].reshape(16, c, tiles)
        deltas = values[16 * tiles * c :].reshape(16, f, tiles)
        for image, top, bottom, at in chunk:
            transform_cells(x[image], cells, at, padding, top, bottom, lines(cols))
            transform_deltas(dy[image, first:end], deltas, at, top, bottom, lines(cols))
        for total, delta, cell in zip(sums, deltas, cells, strict=True):
            np.matmul(delta, cell.T, out=product if turn else total)
            if turn:
                total += product


def chunks(first, end, y, depth):
    """Cut the lines of tiles first..end of y (n, f, h', w'), of all pictures in turn.

    depth   channels that a tile has in memory
    yields  (pieces, how many tiles they have); a piece is (picture, line, line after the last,
            tiles before it)
    """
    high, wide = (lines(cells) for cells in y.shape[2:])
    most = max(1, max(MOST // (16 * depth), DEEP) // wide)
    count = -(-(end - first) // most)
    for i in range(count):
        start, stop = (first + (end - first) * j // count for j in (i, i + 1))
        pieces = []
        for image in range(start // high, -(-stop // high)):
            top, bottom = max(start, image * high), min(stop, (image + 1) * high)
            pieces.append((image, top - image * high, bottom - image * high, (top - start) * wide))
        yield pieces, (stop - start) * wide


@jit
def transform_cells(x, cells, at, padding, top, bottom, wide):
    """Fill cells (16, c, tiles) from tile ``at`` on with those of x (c, h, w).

    These are the lines of tiles top..bottom, ``wide`` tiles each.
    """
    count = 2 * (bottom - top) + 2
    halves = np.zeros((2, count, wide + 1), np.float32)
    even, odd = halves[0].reshape(-1), halves[1].reshape(-1)
    across = np.empty((4, len(even)), np.float32)
    for c in range(len(x)):
        for row in range(count):
            from_ = 2 * top + row - padding
            if 0 <= from_ < x.shape[1]:
                split(x[c, from_], halves[0, row], halves[1, row], padding)
        subtract(across[0], even, even[1:])
        add(across[1], odd, even[1:])
        subtract(across[2], even[1:], odd)
        subtract(across[3], odd, odd[1:])
        for line in range(bottom - top):
            start = 2 * line * (wide + 1)
            to = at + line * wide
            for j in range(4):
                one = across[j, start:]
                two, three, four = one[wide + 1 :], one[2 * wide + 2 :], one[3 * wide + 3 :]
                subtract(cells[j, c, to : to + wide], one, three)
                add(cells[4 + j, c, to : to + wide], two, three)
                subtract(cells[8 + j, c, to : to + wide], three, two)
                subtract(cells[12 + j, c, to : to + wide], two, four)


@jit
def transform_deltas(dy, deltas, at, top, bottom, wide):
    """Fill deltas (16, f, tiles) from tile ``at`` on with those of dy (f, h', w')."""
    count = 2 * (bottom - top)
    halves = np.zeros((2, count, wide), np.float32)
    across = np.empty((4, count * wide), np.float32)
    even, odd = halves[0].reshape(-1), halves[1].reshape(-1)
    for f in range(len(dy)):
        for row in range(min(count, dy.shape[1] - 2 * top)):
            split(dy[f, 2 * top + row], halves[0, row], halves[1, row], 0)
        add(across[1], even, odd)
        subtract(across[2], even, odd)
        negate(across[3], odd)
        across[0] = even
        for line in range(bottom - top):
            to = at + line * wide
            for j in range(4):
                one = across[j, 2 * line * wide :]
                two = one[wide:]
                copy(deltas[j, f, to : to + wide], one)
                add(deltas[4 + j, f, to : to + wide], one, two)
                subtract(deltas[8 + j, f, to : to + wide], one, two)
                negate(deltas[12 + j, f, to : to + wide], two)


@jit
def restore_cells(sums, y, at, top, bottom):
    """Fill the lines of tiles top..bottom of y (f, h', w') from tile ``at`` of sums on."""
    rows, cols = y.shape[1:]
    wide = (cols + 1) // 2
    size = (bottom - top) * wide
    across = np.empty((2, 4, size), np.float32)
    for f in range(len(y)):
        for j in range(4):
            one, two = sums[j, f, at:], sums[4 + j, f, at:]
            three, four = sums[8 + j, f, at:], sums[12 + j, f, at:]
            add_three(across[0, j], one, two, three)
            subtract_two(across[1, j], two, three, four)
        for row in range(2 * top, min(2 * bottom, rows)):
            lines_ = across[row % 2, :, (row // 2 - top) * wide :]
            join(y[f, row], lines_[0], lines_[1], lines_[2], lines_[3])


@inline
def split(cells, even, odd, padding):
    """Lay cells, with ``padding`` zeros before them, apart in even and odd ones."""
    for b in range(2):
        line = even if b == 0 else odd
        start = (b - padding) % 2
        to = (start + padding) // 2
        count = min((len(cells) - start + 1) // 2, len(line) - to)
        part, from_ = line[to : to + count], cells[start:]
        for i in range(len(part)):
            part[i] = from_[2 * i]


@inline
def join(line, one, two, three, four):
    """Fill a row of the output from the four sums for each tile."""
    pairs = line[: len(line) // 2 * 2]
    for i in range(len(pairs) // 2):
        pairs[2 * i] = one[i] + two[i] + three[i]
        pairs[2 * i + 1] = two[i] - three[i] - four[i]
    if len(line) % 2:
        i = len(line) // 2
        line[2 * i] = one[i] + two[i] + three[i]


@inline
def add(line, one, two):
    for i in range(min(len(line), len(one), len(two))):
        line[i] = one[i] + two[i]


@inline
def subtract(line, one, two):
    for i in range(min(len(line), len(one), len(two))):
        line[i] = one[i] - two[i]


@inline
def add_three(line, one, two, three):
    for i in range(len(line)):
        line[i] = one[i] + two[i] + three[i]


@inline
def subtract_two(line, one, two, three):
    for i in range(len(line)):
        line[i] = one[i] - two[i] - three[i]


@inline
def negate(line, one):
    for i in range(len(line)):
        line[i] = -one[i]


@inline
def copy(line, one):
    for i in range(len(line)):
        line[i] = one[i]
