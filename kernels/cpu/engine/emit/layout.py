"""Vector code between planar maps and blocked ones: sixteen channels by sixteen cells, turned."""

from ..records import CELL, LANES
from .code import Code
from .head import decode


def turned(code, rows):
    """Return the sixteen columns of sixteen Vectors."""
    quads = []
    for i in range(0, LANES, 4):
        a, b, c, d = rows[i : i + 4]
        low, high = interleave(code, a, b), interleave(code, c, d)
        # pairs of a and b, pairs of c and d; a quarter of each result holds 4 rows of one column
        both = [(low[0], high[0]), (low[1], high[1])]
        lanes = [(0, 1, 16, 17), (2, 3, 18, 19)]
        quads.append([pick(code, *pair, four) for pair in both for four in lanes])
    columns = [None] * LANES
    for k in range(4):
        a, b, c, d = (quad[k] for quad in quads)
        left, right = quarters(code, a, b), quarters(code, c, d)
        for half in range(2):
            columns[k + 8 * half] = halves(code, left[half], right[half], 0)
            columns[k + 8 * half + 4] = halves(code, left[half], right[half], 1)
    return columns


def pick(code, a, b, lanes):
    """Choose four lanes in each quarter of a and b; those of b count from sixteen."""
    return code.shuffle(a, b, [i + 4 * quarter for quarter in range(4) for i in lanes])


def interleave(code, a, b):
    """Return a0 b0 a1 b1 and a2 b2 a3 b3 of each quarter."""
    return pick(code, a, b, (0, 16, 1, 17)), pick(code, a, b, (2, 18, 3, 19))


def quarters(code, a, b):
    """Return quarters 0 and 1 of a and of b, in turn, and quarters 2 and 3."""
    first = [*range(4), *range(16, 20), *range(4, 8), *range(20, 24)]
    return code.shuffle(a, b, first), code.shuffle(a, b, [i + 8 for i in first])


def halves(code, a, b, half):
    """Return one half of a, then that of b."""
    return code.shuffle(a, b, [i + 8 * half + s for s in (0, 16) for i in range(8)])


def to_blocked(module, name, *, channels, cells):
    """Write name(x, y, table, x_plane, x_row, y_row, rows, tiles): planes of x to cells of y.

    channels  of the block; the others become zero
    cells     of a tile; ``table`` is not used
    """
    code = Code(module, name, 8)
    x, y, _, x_plane, x_row, y_row, rows, tiles = code.args

    def each_tile(_, x, y):
        taken = [code.vector(0.0)] * LANES
        for i in range(channels):
            taken[i] = code.load_part(code.add(x, code.mul(x_plane, i)), cells)
        for p, cell in enumerate(turned(code, taken)[:cells]):
            code.store(cell, y, p * CELL)
        return [code.add(x, 4 * cells), code.add(y, CELL * cells)]

    def each_row(_, x, y):
        code.loop(tiles, [x, y], each_tile)
        return [code.add(x, x_row), code.add(y, y_row)]

    code.loop(rows, [x, y], each_row)
    code.end()


def to_planar(module, name, *, channels, cells, decoded):
    """Write name(x, y, table, y_plane, x_row, y_row, rows, tiles): cells of x to planes of y.

    channels  of the block; no others are written
    cells     of a tile
    decoded   whether `decode` is done, with the three Vectors at ``table``
    """
    code = Code(module, name, 8)
    x, y, table, y_plane, x_row, y_row, rows, tiles = code.args
    how = [code.load(table, i * CELL) for i in range(3)] if decoded else None
    place = code.room(cells) if decoded else None

    def each_cell(_, x, to):
        code.store(decode(code, code.load(x), *how), to)
        return [code.add(x, CELL), code.add(to, CELL)]

    def each_tile(_, x, y):
        if decoded:
            code.loop(cells, [x, place], each_cell)
        taken = [code.load(place if decoded else x, p * CELL) for p in range(cells)]
        taken += [code.vector(0.0)] * (LANES - cells)
        for i, line in enumerate(turned(code, taken)[:channels]):
            code.store_part(line, code.add(y, code.mul(y_plane, i)), cells)
        return [code.add(x, CELL * cells), code.add(y, 4 * cells)]

    def each_row(_, x, y):
        code.loop(tiles, [x, y], each_tile)
        return [code.add(x, x_row), code.add(y, y_row)]

    code.loop(rows, [x, y], each_row)
    code.end()
