"""The microkernel of weight gradients: sums over cells of products of a Vector and a number.

Accumulators stay in registers over all cells of a band of rows, and are then added to what is in
memory: sums of some hundreds of products, and sums of these.
"""

from ..records import CELL
from . import winograd
from .code import Code, Vector


def products(module, name, *, vectors, outer, inner, taps, v_cell, s_cell, s_tap):
    """Write name(v, s, sums, rows, cells, v_apart, v_row, s_row, outer_apart, inner_apart, apart).

    vectors  Vectors a cell, at v + i * v_apart; the next cell is v_cell bytes on, a row v_row
    taps     numbers spread a cell, s_tap bytes apart, in ``inner`` groups inner_apart bytes apart,
             ``outer`` times outer_apart bytes apart; cells are s_cell bytes apart, rows s_row
    sums     gets, at i * apart + j * CELL, what Vector i times number j adds up to
    """
    code = Code(module, name, 11)
    v, s, sums, rows, cells, v_apart, v_row, s_row, outer_apart, inner_apart, apart = code.args
    groups = [
        code.add(code.mul(outer_apart, i), code.mul(inner_apart, j))
        for i in range(outer)
        for j in range(inner)
    ]
    steps = [code.mul(v_apart, i) for i in range(vectors)]
    numbers = outer * inner * taps

    def over_cells(_, v, s, *taken):
        taken = list(taken)
        loaded = [code.load(code.add(v, step)) for step in steps]
        for j in range(numbers):
            one = code.spread(code.add(s, groups[j // taps]), s_tap * (j % taps))
            for i in range(vectors):
                at = i * numbers + j
                taken[at] = code.fma(loaded[i], one, taken[at])
        return [code.add(v, v_cell), code.add(s, s_cell), *taken]

    def over_rows(_, v, s, *taken):
        taken = code.loop(cells, [v, s, *taken], over_cells)[2:]
        return [code.add(v, v_row), code.add(s, s_row), *taken]

    zeros = [code.vector(0.0)] * (vectors * numbers)
    taken = code.loop(rows, [v, s, *zeros], over_rows)[2:]
    for i in range(vectors):
        to = code.add(sums, code.mul(apart, i))
        for j in range(numbers):
            code.store(code.load(to, j * CELL) + taken[i * numbers + j], to, j * CELL)
    code.end()


def transform_gradient(module, name, *, m):
    """Write name(dy, d, lines, cols, blanks, rows, tiles, blocks, dy_plane, dy_row, d_plane,
    d_block).

    It fills d, [place][block][tile][16], with A dy A' for a line of tiles that begins at dy: the
    other half of the products of Winograd's weight gradient.

    lines    memory for m tiles s Vectors
    cols     columns of dy that are there, at least 1; ``blanks`` more are taken for zeros
    rows     rows of dy that are there, of m; the others are taken for zeros
    """
    code = Code(module, name, 12)
    dy, d, lines, cols, blanks, rows, tiles, blocks, dy_plane, dy_row, d_plane, d_block = code.args
    builder = code.builder
    matrix = [list(column) for column in zip(*winograd.matrices(m)[0], strict=True)]
    s = m + 2
    inside = [builder.icmp_signed("<", code.integer(i), rows) for i in range(m)]
    places = [
        builder.select(there, code.mul(dy_row, i), code.integer(0)) if i else 0
        for i, there in enumerate(inside)
    ]
    steps = [code.mul(d_plane, j) for j in range(s)]
    zero = code.vector(0.0)

    def down(_, dy, line):
        cells = [code.load(code.add(dy, one)) for one in places]
        for i in range(1, m):
            cells[i] = Vector(code, builder.select(inside[i], cells[i].value, zero.value))
        for i, one in enumerate(winograd.transform(code, matrix, cells)):
            code.store(one, line, i * CELL)
        return [code.add(dy, CELL), code.add(line, s * CELL)]

    def blank(_, line):
        for i in range(s):
            code.store(zero, line, i * CELL)
        return [code.add(line, s * CELL)]

    def across(_, line, d):
        cells = [code.load(line, j * s * CELL) for j in range(m)]
        for j, one in enumerate(winograd.transform(code, matrix, cells)):
            code.store(one, code.add(d, steps[j]))
        return [code.add(line, CELL), code.add(d, code.mul(d_plane, s))]

    def tile(_, line, d):
        code.loop(s, [line, d], across)
        return [code.add(line, m * s * CELL), code.add(d, CELL)]

    def block(_, dy, d):
        _, line = code.loop(cols, [dy, lines], down)
        code.repeat(blanks, [line], blank)
        code.loop(tiles, [lines, d], tile)
        return [code.add(dy, dy_plane), code.add(d, d_block)]

    code.loop(blocks, [dy, d], block)
    code.end()


def restore_weights(module, name, *, m):
    """Write name(u, sums, count, u_plane, apart): G' u G of ``count`` Vectors side by side.

    u     [place], u_plane bytes apart
    sums  gets [tap], apart bytes from each other
    """
    code = Code(module, name, 5)
    u, sums, count, u_plane, apart = code.args
    s = m + 2
    matrix = [list(column) for column in zip(*winograd.matrices(m)[1], strict=True)]

    def vector(_, u, sums):
        half = []
        for j in range(s):
            column = [code.load(code.add(u, code.mul(u_plane, i * s + j))) for i in range(s)]
            half.append([winograd.combine(code, row, column) for row in matrix])
        for i in range(3):
            line = [column[i] for column in half]
            for j, row in enumerate(matrix):
                value = winograd.combine(code, row, line)
                code.store(value, code.add(sums, code.mul(apart, i * 3 + j)))
        return [code.add(u, CELL), code.add(sums, CELL)]

    code.loop(count, [u, sums], vector)
    code.end()
