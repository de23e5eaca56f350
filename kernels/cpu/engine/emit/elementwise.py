"""Vector code for what acts on each number alone: sums, products, activations, copies, fills.

Every kernel here is called by ``drivers/elementwise.py`` with the same arguments: the addresses of
four maps, what each moves from row to row, the rows, the whole vectors of a row, and one number
more. So rows of blocked maps (a vector is a cell) and of planar ones (sixteen cells) are one case.
"""

from ..records import CELL, LANES
from .activation import activate, slope
from .code import Code

MAPS = 4


def sweep(module, name, body, steps, whole=True, rest=0):
    """Write name(4 addresses, 4 row steps, rows, vectors, extra): ``body`` for each vector of rows.

    body(code, places, count)  writes what one vector needs, at the four addresses; count is 16, or
                               ``rest``, of which there is one at the end of each row
    steps                      bytes that each address moves from vector to vector
    whole                      whether rows have whole vectors
    """
    code = Code(module, name, 2 * MAPS + 3)
    moves, (rows, vectors, code.extra) = code.args[MAPS : 2 * MAPS], code.args[2 * MAPS :]

    def each_vector(_, *at):
        body(code, at, LANES)
        return [code.add(one, step) for one, step in zip(at, steps, strict=True)]

    def each_row(_, *starts):
        at = starts
        if whole:
            at = code.loop(vectors, starts, each_vector)
        if rest:
            body(code, at, rest)
        return [code.add(one, move) for one, move in zip(starts, moves, strict=True)]

    code.loop(rows, list(code.args[:MAPS]), each_row)
    code.end()


def load(code, address, count, align):
    return code.load(address, align=align) if count == LANES else code.load_part(address, count)


def store(code, vector, address, count, align):
    if count == LANES:
        code.store(vector, address, align=align)
    else:
        code.store_part(vector, address, count)


def add(module, name, *, maps, activation, align, whole, rest):
    """Activate the sum of the first ``maps`` maps, one after the other, into the last."""

    def body(code, at, count):
        total = load(code, at[0], count, align)
        for one in at[1:maps]:
            total = total + load(code, one, count, align)
        store(code, activate(code, total, activation), at[3], count, align)

    sweep(module, name, body, [CELL] * MAPS, whole, rest)


def multiply(module, name, *, activation, align, whole, rest):
    """Activate the product of the first two maps into the last."""

    def body(code, at, count):
        value = load(code, at[0], count, align) * load(code, at[1], count, align)
        store(code, activate(code, value, activation), at[3], count, align)

    sweep(module, name, body, [CELL] * MAPS, whole, rest)


def activate_grad(module, name, *, activation, align, whole, rest):
    """Write the first map times the activation's slope at the second into the last."""

    def body(code, at, count):
        given = slope(code, load(code, at[1], count, align), activation)
        store(code, load(code, at[0], count, align) * given, at[3], count, align)

    sweep(module, name, body, [CELL] * MAPS, whole, rest)


def by_channel(module, name, *, how, activation, align, whole, rest):
    """Activate what is in the first map times, or plus, a number a channel in the second.

    how  "times" or "plus"; of blocked maps the second has a cell, of planar ones one float32
    """

    def body(code, at, count):
        other = code.spread(at[1]) if align < CELL else code.load(at[1])
        value = load(code, at[0], count, align)
        value = value * other if how == "times" else value + other
        store(code, activate(code, value, activation), at[3], count, align)

    sweep(module, name, body, [CELL, 0, 0, CELL], whole, rest)


def fill(module, name, *, value):
    """Write ``value`` into every cell of the last map."""
    value = float(value)
    sweep(module, name, lambda code, at, _: code.store(code.vector(value), at[3]), [CELL] * MAPS)


def spread(module, name):
    """Write the cell at the first address into every cell of the last map."""
    sweep(module, name, lambda code, at, _: code.store(code.load(at[0]), at[3]), [0, 0, 0, CELL])


def shift(module, name, *, shift, first, last, two):
    """Move channels: lanes first to last (not with it) of y are lanes from ``shift`` on of x.

    shift  which lane of the block at the first address becomes lane 0; lanes beyond its sixteen are
           those of the block at the second, which is read if ``two``; it may be negative where
           ``first`` is not 0
    """
    lanes = [i + shift if first <= i < last else 0 for i in range(LANES)]
    kept = [i + LANES if first <= i < last else i for i in range(LANES)]

    def body(code, at, _):
        one = code.load(at[0])
        moved = code.shuffle(one, code.load(at[1]) if two else one, lanes)
        if first > 0 or last < LANES:
            moved = code.shuffle(code.load(at[3]), moved, kept)
        code.store(moved, at[3])

    sweep(module, name, body, [CELL] * MAPS)


def cells(module, name, *, reading, writing):
    """Copy cells of blocks; one in ``reading`` of x, and to one in ``writing`` of y."""

    def body(code, at, _):
        code.store(code.load(at[0]), at[3])

    sweep(module, name, body, [CELL * reading, 0, 0, CELL * writing])


def dot(module, name):
    """Sum the products of two maps' cells of a block, over rows and columns, into the last."""
    code = Code(module, name, 2 * MAPS + 3)
    x, z, _, y = code.args[:MAPS]
    x_row, z_row = code.args[MAPS : MAPS + 2]
    rows, vectors = code.args[2 * MAPS : 2 * MAPS + 2]

    def each(_, x, z, total):
        total = code.fma(code.load(x), code.load(z), total)
        return [code.add(x, CELL), code.add(z, CELL), total]

    def each_row(_, x, z, total):
        part = code.loop(vectors, [x, z, code.vector(0.0)], each)[2]
        return [code.add(x, x_row), code.add(z, z_row), total + part]

    code.store(code.loop(rows, [x, z, code.vector(0.0)], each_row)[2], y)
    code.end()
