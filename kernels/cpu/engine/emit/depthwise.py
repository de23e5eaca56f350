"""Vector code of convolutions of each channel alone: a tile of cells of a row in registers.

Where there are registers for it, a cell of x is loaded once for all taps of a row that use it, and
weights of up to 3x3 stay in them. Elsewhere each tap reads its cells of x anew, as operands; loops
whose length is not known keep LLVM from loading too much ahead, and then parking it on the stack.
"""

from functools import partial

from ..records import CELL
from .activation import activate
from .code import Code


def depthwise(
    module, name, *, size, stride, dilation, cells, keep, bias, activation, residual
):  # fmt: skip
    """Write name(x, w, bias, y, r, x_row, x_step, y_row, r_row, rows, tiles, taps).

    x         the first tap of the first cell; w is [size][size][16]; taps is the size once more
    x_row     bytes from a row of taps to the next, x_step from the taps of a row of y to the next's
    rows      of y, of ``tiles`` times ``cells`` cells each
    keep      what stays in registers: "weights", cells of x for a "line" of taps, or "nothing"
    bias      whether there is one
    residual  "none"; "after" adds the map at r to what the activation gives, "before" to what
              goes in
    """
    code = Code(module, name, 12)
    x, w, b, y, r, x_row, x_step, y_row, r_row, rows, tiles, count = code.args
    window = Window(code, w, b if bias else None, count, size, stride, dilation, cells, keep)

    def each_tile(_, x, y, r):
        found = window.sums(lambda i: code.add(x, code.mul(x_row, i)))
        for p, value in enumerate(found):
            if residual == "before":
                value = value + code.load(r, p * CELL)
            value = activate(code, value, activation)
            if residual == "after":
                value = value + code.load(r, p * CELL)
            code.store(value, y, p * CELL)
        far = cells * CELL
        return [code.add(x, far * stride), code.add(y, far), code.add(r, far)]

    def each_row(_, x, y, r):
        code.loop(tiles, [x, y, r], each_tile)
        return [code.add(x, x_step), code.add(y, y_row), code.add(r, r_row)]

    code.loop(rows, [x, y, r], each_row)
    code.end()


def line(module, name, *, size, stride, dilation, cells, keep, activation):
    """Write name(lines, w, bias, y, tiles, taps): one row of y, of ``tiles`` times ``cells`` cells.

    lines  the address of ``size`` int64: where the first tap of the first cell is, in each row of
           taps; all else is as in `depthwise`
    """
    code = Code(module, name, 6)
    lines, w, b, y, tiles, count = code.args
    window = Window(code, w, b, count, size, stride, dilation, cells, keep)

    def each_tile(_, across, y):
        found = window.sums(lambda i: code.add(code.word(lines, code.mul(8, i)), across))
        for p, value in enumerate(found):
            code.store(activate(code, value, activation), y, p * CELL)
        return [code.add(across, cells * stride * CELL), code.add(y, cells * CELL)]

    code.loop(tiles, [0, y], each_tile)
    code.end()


class Window:
    """Sums of the products of one channel's weights with the cells around each cell of a tile.

    w, b   addresses of [size][size][16] weights and of a Vector to begin with, or None
    count  ``size``, as a number that is known only when it runs
    """

    def __init__(self, code, w, b, count, size, stride, dilation, cells, keep):
        self.code, self.w, self.count, self.size = code, w, count, size
        self.stride, self.dilation, self.cells, self.keep = stride, dilation, cells, keep
        self.start = code.vector(0.0) if b is None else code.load(b)
        kept = size * size if keep == "weights" else 0
        self.weights = [code.load(w, i * CELL) for i in range(kept)]

    def sums(self, line):
        """Return the sum of each cell; ``line`` gives the address of the first tap of a row."""
        code, size, found = self.code, self.size, [self.start] * self.cells
        if self.keep != "weights":
            return code.loop(self.count, [self.w, *found], partial(self._row, line))[1:]
        for i in range(size):
            if i:
                code.fence()  # else LLVM loads ahead, and spills
            found = self._line(line(i), self.weights[i * size : (i + 1) * size], found)
        return found

    def _row(self, line, i, w, *found):
        """Add what row i of taps gives, with the weights at w."""
        code, x = self.code, line(i)
        if self.keep == "nothing":
            _, w, *found = code.loop(self.count, [x, w, *found], self._tap)
            return [w, *found]
        weights = [code.load(w, k * CELL) for k in range(self.size)]
        return [code.add(w, self.size * CELL), *self._line(x, weights, found)]

    def _tap(self, _, x, w, *found):
        """Add what one tap gives, with the weights at w."""
        code = self.code
        weight = code.load(w)
        reached = [
            code.fma(weight, code.load(x, p * self.stride * CELL), one)
            for p, one in enumerate(found)
        ]
        return [code.add(x, self.dilation * CELL), code.add(w, CELL), *reached]

    def _line(self, x, weights, found):
        """Add what one row of taps gives, each cell of x loaded once."""
        found = list(found)
        for q, uses in taps(self.size, self.stride, self.dilation, self.cells):
            one = self.code.load(x, q * CELL)
            for k, p in uses:
                found[p] = self.code.fma(weights[k], one, found[p])
        return found


def taps(size, stride, dilation, cells):
    """Return (cell of x, [(tap, cell of y)]) of a row of taps, in the order of cells of x."""
    found = {}
    for p in range(cells):
        for k in range(size):
            found.setdefault(p * stride + k * dilation, []).append((k, p))
    return sorted(found.items())


def input_grad(module, name, *, size, stride, padding, dilation, width):
    """Write name(dy, w, dx, dy_row, w_row, count, tiles): the gradient of a row of x.

    dy      the first row that has a part in the row, at the column of cell 0 of dx over stride;
            the other ``count`` - 1 are dy_row bytes apart, and their rows of weights w_row
    w       the weights of the first row, [size][16]
    width   cells of dx in a tile; all but the last of a row are multiples of the stride
    """
    code = Code(module, name, 7)
    dy, w, dx, dy_row, w_row, count, tiles = code.args
    found = {}
    for q in range(width):
        for k in range(size):
            place, rest = divmod(q + padding - k * dilation, stride)
            if rest == 0:
                found.setdefault(place, []).append((k, q))

    def each_row(_, dy, w, *sums):
        sums = list(sums)
        for place, uses in sorted(found.items()):
            one = code.load(dy, place * CELL)
            for k, q in uses:
                sums[q] = code.fma(code.load(w, k * CELL), one, sums[q])
        return [code.add(dy, dy_row), code.add(w, w_row), *sums]

    def each_tile(_, dy, dx):
        zeros = [code.vector(0.0)] * width
        sums = code.loop(count, [dy, w, *zeros], each_row)[2:]
        for q, value in enumerate(sums):
            code.store(value, dx, q * CELL)
        return [code.add(dy, width // stride * CELL), code.add(dx, width * CELL)]

    code.loop(tiles, [dy, dx], each_tile)
    code.end()


def weight_grad(module, name, *, size, lines, stride, dilation):
    """Write name(dy, x, dw, dy_row, x_row, x_step, rows, cols): sums of dy x over a band of rows.

    lines  rows of taps at once; dw is [lines][size][16], x the first tap of the first cell
    x_row  bytes from a row of taps to the next, x_step from the taps of a row of dy to the next's
    """
    code = Code(module, name, 8)
    dy, x, dw, dy_row, x_row, x_step, rows, cols = code.args

    def each_cell(_, dy, x, *sums):
        sums = list(sums)
        delta = code.load(dy)
        for i in range(lines):
            row = code.add(x, code.mul(x_row, i))
            for k in range(size):
                one = code.load(row, k * dilation * CELL)
                sums[i * size + k] = code.fma(delta, one, sums[i * size + k])
        return [code.add(dy, CELL), code.add(x, stride * CELL), *sums]

    def each_row(_, dy, x, *sums):
        _, _, *sums = code.loop(cols, [dy, x, *sums], each_cell)
        return [code.add(dy, dy_row), code.add(x, x_step), *sums]

    start = [code.vector(0.0)] * (lines * size)
    for i, value in enumerate(code.loop(rows, [dy, x, *start], each_row)[2:]):
        code.store(value, dw, i * CELL)
    code.end()


def total(module, name):
    """Write name(x, y, count, step): the sum of ``count`` Vectors, ``step`` bytes apart."""
    code = Code(module, name, 4)
    x, y, count, step = code.args

    def each(_, x, value):
        return [code.add(x, step), value + code.load(x)]

    code.store(code.loop(count, [x, code.vector(0.0)], each)[1], y)
    code.end()
