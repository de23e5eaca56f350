"""Vector code of pools: the largest of windows, its gradient, the mean of a plane."""

import numpy as np

from ..records import CELL
from .code import Code
from .elementwise import sweep

LEAST = float(np.finfo(np.float32).min)


def down(module, name, *, cells):
    """Write name(x, y, x_row, rows, tiles): each cell's largest value of so many rows of x."""
    code = Code(module, name, 5)
    x, y, x_row, rows, tiles = code.args

    def each_row(_, at, *most):
        found = [code.maximum(code.load(at, p * CELL), one) for p, one in enumerate(most)]
        return [code.add(at, x_row), *found]

    def each_tile(_, x, y):
        start = [code.vector(LEAST)] * cells
        for p, one in enumerate(code.loop(rows, [x, *start], each_row)[1:]):
            code.store(one, y, p * CELL)
        return [code.add(x, cells * CELL), code.add(y, cells * CELL)]

    code.loop(tiles, [x, y], each_tile)
    code.end()


def along(module, name, *, size, rows, stride, cells):
    """Write name(x, y, x_row, tiles): the largest of windows of ``rows`` rows, ``size`` columns.

    Runs of 2, 4, 8 cells are found once for all windows that have them.
    """
    code = Code(module, name, 4)
    x, y, x_row, tiles = code.args

    def each_tile(_, x, y):
        found = {}

        def run(start, count):
            """Return the largest of ``count`` columns from ``start``."""
            if (start, count) not in found:
                found[start, count] = made(start, count)
            return found[start, count]

        def made(start, count):
            if count == 1:
                one = code.load(x, start * CELL)
                for i in range(1, rows):
                    below = code.add(x, code.mul(x_row, i))
                    one = code.maximum(code.load(below, start * CELL), one)
                return one
            half = 1 << ((count - 1).bit_length() - 1)
            return code.maximum(run(start + count - half, half), run(start, half))

        for p in range(cells):
            code.store(run(p * stride, size), y, p * CELL)
        return [code.add(x, cells * stride * CELL), code.add(y, cells * CELL)]

    code.loop(tiles, [x, y], each_tile)
    code.end()


def grad(module, name, *, size, step, add):
    """Write name(dy, x, y, dx, x_row, dx_row, rows, cols, cells): pass on a row of dy.

    Of each window of ``rows`` x ``cols`` cells the first that equals y has all of dy.

    size  columns of the window if all cells have so many, or 0: as ``cols`` says
    step  cells of x from window to window
    add   whether windows share cells, so that dx is added to
    """
    code = Code(module, name, 9)
    dy, x, y, dx, x_row, dx_row, rows, cols, cells = code.args

    def tap(x, dx, offset, most, left):
        hit = code.equal(code.load(x, offset), most)
        given = code.where(hit, left, 0.0)
        if add:
            given = code.load(dx, offset) + given
        code.store(given, dx, offset)
        return code.where(hit, 0.0, left)

    def each_cell(_, dy, x, y, dx):
        most = code.load(y)

        def each_col(_, x, dx, left):
            return [code.add(x, CELL), code.add(dx, CELL), tap(x, dx, 0, most, left)]

        def each_row(_, x, dx, left):
            if size:
                for k in range(size):
                    left = tap(x, dx, k * CELL, most, left)
            else:
                left = code.loop(cols, [x, dx, left], each_col)[2]
            return [code.add(x, x_row), code.add(dx, dx_row), left]

        code.loop(rows, [x, dx, code.load(dy)], each_row)
        far = step * CELL
        return [code.add(dy, CELL), code.add(x, far), code.add(y, CELL), code.add(dx, far)]

    code.loop(cells, [dy, x, y, dx], each_cell)
    code.end()


def mean(module, name, *, cells):
    """Write what ``drivers/elementwise.py`` calls: the sum of x over ``cells``, into y."""
    code = Code(module, name, 11)
    x, y, x_row, rows, vectors = code.args[0], code.args[3], code.args[4], *code.args[8:10]

    def each(_, x, total):
        return [code.add(x, CELL), total + code.load(x)]

    def each_row(_, at, total):
        part = code.loop(vectors, [at, code.vector(0.0)], each)[1]
        return [code.add(at, x_row), total + part]

    total = code.loop(rows, [x, code.vector(0.0)], each_row)[1]
    code.store(total / float(cells), y)
    code.end()


def share(module, name, *, cells):
    """Write what ``drivers/elementwise.py`` calls: dy's cell, over ``cells``, to all of dx."""

    def body(code, at, _):
        code.store(code.load(at[0]) / float(cells), at[3])

    sweep(module, name, body, [0, 0, 0, CELL])
