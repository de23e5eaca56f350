"""The microkernel of data gradients: sums for cells of dx that lie ``apart`` cells from each other.

A gradient at stride s is s x s convolutions at stride 1 of dy, each with the taps that meet one of
the s x s kinds of cells of dx.
"""

from ..records import CELL, LANES
from .code import Code


def phase(module, name, *, filters, cells, apart, empty):
    """Write name(dy, w, dx, height, tiles, blocks, rows, cols, dy_plane, dy_line, dy_row, dy_tap,
    w_plane, w_row, w_tap, w_block, dx_plane, dx_row): some tiles of some rows of one kind of cells.

    filters  blocks of 16 channels of dx; w is [of dx][of dy][taps][16 of dy][16 of dx]
    empty    no tap meets these cells, which are set to zero
    dy       the first tap of the first cell; dy_line is the distance of rows of cells, dy_row and
             dy_tap that of taps; w_row and w_tap theirs in w, whose blocks of dy are w_plane apart
    """
    code = Code(module, name, 18)
    dy, w, dx, height, tiles, blocks, rows, cols, dy_plane, dy_line, dy_row, dy_tap = code.args[:12]
    w_plane, w_row, w_tap, w_block, dx_plane, dx_row = code.args[12:]

    def step(_, dy, w, *taken):
        vectors = [code.load(code.add(w, code.mul(w_block, i))) for i in range(filters)]
        taken = list(taken)
        for p in range(cells):
            one = code.spread(dy, p * CELL)
            for i in range(filters):
                at = i * cells + p
                taken[at] = code.fma(vectors[i], one, taken[at])
        return [code.add(dy, 4), code.add(w, CELL), *taken]

    def over_cols(_, dy, w, *taken):
        taken = code.loop(LANES, [dy, w, *taken], step)[2:]
        return [code.add(dy, dy_tap), code.add(w, w_tap), *taken]

    def over_rows(_, dy, w, *taken):
        taken = code.loop(cols, [dy, w, *taken], over_cols)[2:]
        return [code.add(dy, dy_row), code.add(w, w_row), *taken]

    def over_blocks(_, dy, w, *taken):
        taken = code.loop(rows, [dy, w, *taken], over_rows)[2:]
        return [code.add(dy, dy_plane), code.add(w, w_plane), *taken]

    def tile(_, dy, dx):
        taken = [code.vector(0.0)] * (filters * cells)
        if not empty:
            taken = code.loop(blocks, [dy, w, *taken], over_blocks)[2:]
        for i in range(filters):
            to = code.add(dx, code.mul(dx_plane, i))
            for p in range(cells):
                code.store(taken[i * cells + p], to, p * apart * CELL)
        return [code.add(dy, cells * CELL), code.add(dx, cells * apart * CELL)]

    def line(_, dy, dx):
        code.loop(tiles, [dy, dx], tile)
        return [code.add(dy, dy_line), code.add(dx, dx_row)]

    code.loop(height, [dy, dx], line)
    code.end()
