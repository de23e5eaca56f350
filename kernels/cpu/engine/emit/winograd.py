"""Vector code of Winograd's convolution F(m x m, 3 x 3), at stride 1 or 2: transforms and products.

A tile of m x m cells of y comes from s x s cells of x, s = m + 2, in s x s products for each pair
of a channel and a filter: Y = A' [sum over channels of (G g G') * (B' d B)] A, Lavin and Gray 2015
(https://arxiv.org/abs/1509.09308). The matrices are those of Cook and Toom for the points below,
with exact numbers. Place i * s + j of a tile is row i and column j of the transformed tile.

At stride 2 s = 2 m + 1: of a row of three taps, the outer two and every other cell, from the first
on, are an F(m, 2), in m + 1 products; the cells between meet the middle tap alone, in m.
"""

from fractions import Fraction
from functools import cache, reduce

from llvmlite import ir

from ..records import CELL, LANES
from ..winograd import side
from .activation import activate
from .code import HALF, INT, INTS, VECTOR, Code, Vector

# Those with the least errors of some that were tried; a pair p and -p shares sums, and all numbers
# of A and B are exact in float32. With the eight points of F(7) errors are 2e-4 of y.
POINTS = {
    2: (0, 1, -1),
    3: (0, 1, -1, Fraction(1, 2)),
    4: (0, Fraction(5, 8), Fraction(-5, 8), Fraction(3, 2), Fraction(-3, 2)),
    5: (0, 1, -1, 2, -2, Fraction(1, 2)),
    6: (0, 1, -1, 2, -2, Fraction(1, 2), Fraction(-1, 2)),
}
PAIRS = {2: (1, -1), 3: (0, 1, -1), 4: (0, 1, -1, Fraction(1, 2))}  # of F(m, 2)
DOUBLES = ir.VectorType(ir.DoubleType(), LANES)


@cache
def matrices(m, stride=1):
    """Return A' (m, s), G (s, 3) and B' (s, s) as rows of Fractions."""
    if stride == 1:
        return toom(m, POINTS[m], 3)
    output, weights, cells = toom(m, PAIRS[m], 2)
    none = Fraction(0)
    middle = [[Fraction(int(i == j)) for j in range(m)] for i in range(m)]
    between = [[row[j // 2] if j % 2 else none for j in range(2 * m + 1)] for row in middle]
    return (
        [row + one for row, one in zip(output, middle, strict=True)],
        [[a, none, b] for a, b in weights] + [[none, Fraction(1), none]] * m,
        [[none if j % 2 else row[j // 2] for j in range(2 * m + 1)] for row in cells] + between,
    )


def toom(m, points, taps):
    """Return A' (m, s), G (s, taps) and B' (s, s) of F(m, taps), s = m + taps - 1."""
    points = [Fraction(p) for p in points]
    output = [[p**i for p in points] + [Fraction(int(i == m - 1))] for i in range(m)]
    weights, cells = [], []
    for j, p in enumerate(points):
        others = points[:j] + points[j + 1 :]
        scale = product(p - q for q in others)
        row = [*polynomial(others), Fraction(0)]
        whole = Fraction(max(one.denominator for one in row))  # a power of 2
        weights.append([p**k / scale / whole for k in range(taps)])
        cells.append([one * whole for one in row])
    weights.append([Fraction(int(k == taps - 1)) for k in range(taps)])
    cells.append(polynomial(points))
    return output, weights, cells


def polynomial(roots):
    """Return the coefficients, lowest first, of the product of (z - root)."""
    coefficients = [Fraction(1)]
    for root in roots:
        pairs = zip([*coefficients, 0], [0, *coefficients], strict=True)
        coefficients = [high - root * low for low, high in pairs]
    return coefficients


def product(numbers):
    total = Fraction(1)
    for one in numbers:
        total *= one
    return total


def combine(code, row, vectors):
    """Return the sum of vectors times the numbers of a row."""
    terms = [(number, one) for number, one in zip(row, vectors, strict=True) if number]
    terms.sort(key=lambda term: term[0] != 1)
    number, total = terms[0]
    if number != 1:
        total = total * float(number)
    for number, one in terms[1:]:
        if abs(number) == 1:
            total = total + one if number > 0 else total - one
        else:
            total = code.fma(one, float(number), total)
    return total


def transform(code, rows, vectors):
    """Return rows (a matrix) times vectors; two that differ in signs alone share their sums."""
    results = {}
    for i, row in enumerate(rows):
        for j in range(i + 1, len(rows)):
            even = [(a + b) / 2 for a, b in zip(row, rows[j], strict=True)]
            odd = [(a - b) / 2 for a, b in zip(row, rows[j], strict=True)]
            alike = not any(a and b for a, b in zip(even, odd, strict=True))
            fresh = i not in results and j not in results
            if fresh and alike and any(even) and any(odd):
                one, two = combine(code, even, vectors), combine(code, odd, vectors)
                results[i], results[j] = one + two, one - two
        if i not in results:
            results[i] = combine(code, row, vectors)
    return [results[i] for i in range(len(rows))]


def transform_back(code, rows, vectors):
    """Return rows (a matrix) times vectors; columns that differ in signs alone are added first."""
    columns = list(zip(*rows, strict=True))
    shares, taken = [], set()
    for j, column in enumerate(columns):
        for k in range(j + 1, len(columns)):
            alike = all(abs(a) == abs(b) for a, b in zip(column, columns[k], strict=True))
            if j not in taken and k not in taken and alike:
                taken |= {j, k}
                same = [a if a == b else 0 for a, b in zip(column, columns[k], strict=True)]
                other = [0 if a == b else a for a, b in zip(column, columns[k], strict=True)]
                shares.append((same, vectors[j] + vectors[k]))
                shares.append((other, vectors[j] - vectors[k]))
        if j not in taken:
            shares.append((column, vectors[j]))
    return [
        combine(code, [c[i] for c, _ in shares], [v for _, v in shares]) for i in range(len(rows))
    ]


def transform_cells(module, name, *, m, stride=1):
    """Write the transform of a line of tiles of x.

    name(x, zeros, v, lines, cols, blanks, rows, tiles, blocks, x_plane, x_row, v_plane, v_block)

    It fills v, [place][block][tile][16], for a line of tiles that begins at x.

    zeros    as x, in a row of zeros: read in place of the last s - rows rows
    lines    memory for the columns, s Vectors each
    cols     columns of x that are read, at least 1; ``blanks`` more are taken for zeros
    v_plane  bytes from place to place; v_block from block to block of 16 channels
    """
    code = Code(module, name, 13)
    x, zeros, v, lines, cols, blanks, rows, tiles, blocks, x_plane, x_row, v_plane, v_block = (
        code.args
    )
    _, _, matrix = matrices(m, stride)
    s = side(m, stride)
    instead = code.builder.sub(zeros, x)
    places = [code.mul(x_row, i) for i in range(s)]
    for i in range(3, s):  # a tile has one row of y or more, so three of x
        there = code.builder.icmp_signed("<", code.integer(i), rows)
        places[i] = code.builder.select(there, places[i], instead)
    steps = [code.mul(v_plane, j) for j in range(s)]

    def down(_, x, line):
        cells = transform(code, matrix, [code.load(code.add(x, one)) for one in places])
        for i, one in enumerate(cells):
            code.store(one, line, i * CELL)
        return [code.add(x, CELL), code.add(line, s * CELL)]

    def blank(_, line):
        for i in range(s):
            code.store(code.vector(0.0), line, i * CELL)
        return [code.add(line, s * CELL)]

    def across(_, line, v):
        cells = [code.load(line, j * s * CELL) for j in range(s)]
        for j, one in enumerate(transform(code, matrix, cells)):
            code.store(one, code.add(v, steps[j]))
        return [code.add(line, CELL), code.add(v, code.mul(v_plane, s))]

    def tile(_, line, v):
        code.loop(s, [line, v], across)
        return [code.add(line, m * stride * s * CELL), code.add(v, CELL)]

    def block(_, x, v):
        _, line = code.loop(cols, [x, lines], down)
        code.repeat(blanks, [line], blank)
        code.loop(tiles, [lines, v], tile)
        return [code.add(x, x_plane), code.add(v, v_block)]

    code.loop(blocks, [x, v], block)
    code.end()


def multiply(module, name, *, filters, cells, unroll, ahead, fetch):
    """Write name(v, u, out, places, tiles, blocks, v_plane, v_block, out_plane, out_block, skip).

    out [place][filter block][tile][16] is the sum of v [place][block][tile][16] times
    u [place][channel][filter block][16], over channels.

    filters  blocks of 16 filters
    cells    tiles at a time; the last ones begin earlier where they do not divide ``tiles``
    ahead    bytes of u that are fetched into the first cache early
    fetch    lines of 64 bytes of what follows, ``skip`` bytes on, that a step fetches into the
             second cache: so memory works while tiles after the first are multiplied
    """
    code = Code(module, name, 11)
    v, u, out, places, tiles, blocks, v_plane, v_block, out_plane, out_block, skip = code.args
    step = filters * CELL * unroll
    least = code.builder.sub(tiles, code.integer(cells))
    rounds = code.builder.sdiv(code.add(tiles, cells - 1), code.integer(cells))

    def over_channels(_, v, u, soon, *taken):
        taken = list(taken)
        for k in range(fetch):
            code.prefetch(soon, k * CELL, near=False)
        for k in range(unroll):
            for i in range(filters):
                code.prefetch(u, ahead + (k * filters + i) * CELL)
            vectors = [code.load(u, (k * filters + i) * CELL) for i in range(filters)]
            for p in range(cells):
                one = code.spread(v, p * CELL + k * 4)
                for i in range(filters):
                    taken[i * cells + p] = code.fma(vectors[i], one, taken[i * cells + p])
        return [code.add(v, 4 * unroll), code.add(u, step), code.add(soon, fetch * CELL), *taken]

    def over_blocks(_, v, u, soon, *taken):
        for p in range(cells):  # the next block's: all lines of this one are read at its first step
            code.prefetch(v, code.add(v_block, p * CELL))
        _, u, soon, *taken = code.loop(LANES // unroll, [v, u, soon, *taken], over_channels)
        return [code.add(v, v_block), u, soon, *taken]

    def over_places(_, v, u, out):
        def over_tiles(index, soon):
            first = code.mul(index, cells)
            late = code.builder.icmp_signed("<", least, first)
            at = code.mul(code.builder.select(late, least, first), CELL)
            zeros = [code.vector(0.0)] * (filters * cells)
            _, _, soon, *taken = code.loop(blocks, [code.add(v, at), u, soon, *zeros], over_blocks)
            for i in range(filters):
                to = code.add(code.add(out, at), code.mul(out_block, i))
                for p in range(cells):
                    code.store(taken[i * cells + p], to, p * CELL)
            return [soon]

        code.loop(rounds, [code.add(u, skip)], over_tiles)
        following = code.mul(blocks, LANES * filters * CELL)
        return [code.add(v, v_plane), code.add(u, following), code.add(out, out_plane)]

    code.loop(places, [v, u, out], over_places)
    code.end()


def restore_cells(module, name, *, m, stride=1, activation, residual, pool, held):
    """Write the way back of a line of tiles to y.

    name(out, bias, y, r, lines, filters, tiles, rows, cols, out_plane, out_block, y_plane, y_row,
    r_plane, r_row)

    It fills a line of tiles of y from out, [place][filter block][tile][16].

    lines       memory for m m tiles Vectors, used if not all cells are there
    rows, cols  of y that are there, of the m and m tiles of the tiles; both even if pooled
    residual    "none"; "after" adds the map at r to what the activation gives, "before" to what
                goes in
    pool        "none"; y takes the greatest of each 2 x 2, "first" before the activation, which
                keeps the order of numbers, or "last"
    held        whether a tile that is half transformed stays in registers
    """
    code = Code(module, name, 15)
    out, bias, y, r, lines, filters, tiles, rows, cols, out_plane, out_block, *rest = code.args
    y_plane, y_row, r_plane, r_row = rest
    matrix, _, _ = matrices(m, stride)
    s = side(m, stride)
    steps = [code.mul(out_plane, i * s) for i in range(s)]
    line_row = code.mul(tiles, m * CELL)
    size = 1 if pool == "none" else 2
    half = None if held else code.room(m * s)

    def finish(values, r):
        """Return a cell of y from size x size sums; r is where the first one's residual lies."""
        if pool == "first":
            values = [reduce(code.maximum, values)]
        for i, one in enumerate(values):
            other = code.add(r, code.add(code.mul(r_row, i // size), i % size * CELL))
            if residual == "before":
                one = one + code.load(other)
            one = activate(code, one, activation)
            values[i] = one + code.load(other) if residual == "after" else one
        return reduce(code.maximum, values)

    def down(out):
        return transform_back(code, matrix, [code.load(code.add(out, one)) for one in steps])

    def tile(out, add, leave):
        """Transform a tile; ``leave(i, rows)`` gets ``size`` rows of m sums from row i on."""
        if held:
            columns = [down(code.add(out, code.mul(out_plane, j))) for j in range(s)]
            for i in range(0, m, size):
                halves = [[one[i + k] for one in columns] for k in range(size)]
                leave(i, [[one + add for one in transform_back(code, matrix, h)] for h in halves])
            return

        def store_half(_, out, half):
            for i, one in enumerate(down(out)):
                code.store(one, half, i * s * CELL)
            return [code.add(out, out_plane), code.add(half, CELL)]

        def load_half(i, half):
            halves = [[code.load(half, (k * s + j) * CELL) for j in range(s)] for k in range(size)]
            rows = [[one + add for one in transform_back(code, matrix, h)] for h in halves]
            leave(code.mul(i, size), rows)
            return [code.add(half, size * s * CELL)]

        code.loop(s, [out, half], store_half)
        code.loop(m // size, [half], load_half)

    def whole(out, add, y, r):
        """Fill tiles that are there with all their cells."""

        def one_tile(_, out, y, r):
            def leave(i, rows):
                y_line = code.add(y, code.mul(y_row, i if size == 1 else halved(i)))
                r_line = code.add(r, code.mul(r_row, i))
                for j in range(0, m, size):
                    values = [one for row in rows for one in row[j : j + size]]
                    value = finish(values, code.add(r_line, j * CELL))
                    code.store(value, y_line, j // size * CELL)

            tile(out, add, leave)
            return [code.add(out, CELL), code.add(y, m // size * CELL), code.add(r, m * CELL)]

        code.loop(tiles, [out, y, r], one_tile)

    def halved(i):
        return i // 2 if isinstance(i, int) else code.builder.ashr(i, code.integer(1))

    def part(out, add, y, r):
        """Fill lines from tiles, and y from what of the lines is there."""

        def one_tile(_, out, line):
            def leave(i, rows):
                for k, row in enumerate(rows):
                    to = code.add(line, code.mul(line_row, code.add(i, k)))
                    for j, one in enumerate(row):
                        code.store(one, to, j * CELL)

            tile(out, add, leave)
            return [code.add(out, CELL), code.add(line, m * CELL)]

        def over_cols(_, line, y, r):
            values = [
                code.load(code.add(line, code.mul(line_row, i)), j * CELL)
                for i in range(size)
                for j in range(size)
            ]
            code.store(finish(values, r), y)
            return [code.add(line, size * CELL), code.add(y, CELL), code.add(r, size * CELL)]

        def over_rows(_, line, y, r):
            code.loop(halved(cols) if size == 2 else cols, [line, y, r], over_cols)
            return [
                code.add(line, code.mul(line_row, size)),
                code.add(y, y_row),
                code.add(r, code.mul(r_row, size)),
            ]

        code.loop(tiles, [out, lines], one_tile)
        code.loop(halved(rows) if size == 2 else rows, [lines, y, r], over_rows)

    def over_filters(_, out, bias, y, r):
        add = code.load(bias)
        with code.builder.if_else(all_there) as (then, otherwise):
            with then:
                whole(out, add, y, r)
            with otherwise:
                part(out, add, y, r)
        moved = zip((out, bias, y, r), (out_block, CELL, y_plane, r_plane), strict=True)
        return [code.add(one, step) for one, step in moved]

    full = code.builder.icmp_signed("==", rows, code.integer(m))
    wide = code.builder.icmp_signed("==", cols, code.mul(tiles, m))
    all_there = code.builder.and_(full, wide)
    code.loop(filters, [out, bias, y, r], over_filters)
    code.end()


def transform_weights(module, name, *, m, stride=1, turned, past):
    """Write name(w, u, filters, inside, channels, filter_step, channel_step, u_place, u_channel).

    It fills u for 16 filters, [place][channel][16], a place ``u_place`` bytes from the one before
    it, in double precision: G g G', rounded once.

    w         the windows of 3 x 3 of the first filter and channel
    filters   how many of the 16 there are, at least 1; the others are zero
    inside    how many of the channels there are, of ``channels``; the others are zero
    turned    take the windows turned about
    past      write past the caches
    """
    code = Code(module, name, 9)
    w, u, filters, inside, channels, filter_step, channel_step, u_place, u_channel = code.args
    builder = code.builder
    _, matrix, _ = matrices(m, stride)
    s = side(m, stride)
    fused = ir.Function(module, ir.FunctionType(DOUBLES, [DOUBLES] * 3), "llvm.fmuladd.v16f64")
    last = builder.sub(filters, code.integer(1))
    offsets = []
    for lane in range(LANES):
        there = builder.icmp_signed("<", code.integer(lane), filters)
        offsets.append(code.mul(builder.select(there, code.integer(lane), last), filter_step))
    lanes = ir.Constant(INTS, list(range(LANES)))

    def combination(row, values):
        total = None
        for number, one in zip(row, values, strict=True):
            factor = ir.Constant(DOUBLES, [float(number)] * LANES)
            if number and total is None:
                total = one if number == 1 else builder.fmul(one, factor)
            elif number:
                total = builder.call(fused, [one, factor, total])
        return total

    def tap(w, at, mask):
        value = ir.Constant(VECTOR, [0.0] * LANES)
        for lane, offset in enumerate(offsets):
            one = builder.load(code.pointer(code.add(code.add(w, offset), at * 4), ir.FloatType()))
            one.align = 4
            value = builder.insert_element(value, one, ir.Constant(HALF, lane))
        value = builder.select(mask, value, ir.Constant(VECTOR, [0.0] * LANES))
        return builder.fpext(value, DOUBLES)

    def channel(index, w, u):
        inner = builder.icmp_signed("<", index, inside)
        count = builder.trunc(builder.select(inner, filters, code.integer(0)), HALF)
        spread = builder.insert_element(
            ir.Constant(INTS, ir.Undefined), count, ir.Constant(HALF, 0)
        )
        zeros = ir.Constant(INTS, [0] * LANES)
        spread = builder.shuffle_vector(spread, spread, zeros)
        mask = builder.icmp_signed("<", lanes, spread)
        taps = [tap(w, 8 - at if turned else at, mask) for at in range(9)]
        to = u
        for i in range(s):
            line = [combination(matrix[i], taps[k::3]) for k in range(3)]
            for j in range(s):
                value = builder.fptrunc(combination(matrix[j], line), VECTOR)
                code.store(Vector(code, value), to, past=past)
                to = code.add(to, u_place)
        more = builder.icmp_signed("<", builder.add(index, ir.Constant(INT, 1)), inside)
        step = builder.select(more, channel_step, code.integer(0))
        return [code.add(w, step), code.add(u, u_channel)]

    code.loop(channels, [w, u], channel)
    code.end()
