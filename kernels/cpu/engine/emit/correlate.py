"""The microkernel of direct convolution: some blocks of filters times some cells of a row.

Accumulators stay in registers over all channels and taps; each step loads one Vector of weights a
block and spreads one number of x a cell.
"""

from ..records import CELL, LANES
from .activation import activate
from .code import Code

SHORT = {"linear", "leaky", "relu", "relu6"}  # formulas of few instructions
TAP = LANES * CELL  # bytes of the weights of a tap: 16 channels of x by 16 filters


def tiles(
    module, name, *, filters, cells, cell, stride, activation, residual, pool, unroll, taps=0, tap=0
):  # fmt: skip
    """Write name(x, w, bias, y, r, height, tiles, blocks, size, steps, x_plane, x_line, x_row,
    x_tap, w_block, y_plane, y_row, r_plane, r_row): some tiles of each of some rows of y.

    filters  blocks of 16 filters; w has [filter block][block of x][row][col][16 of x][16 filters]
    cells    of a tile, ``stride`` cells of x apart; with ``pool`` in each of two rows of the
             convolution, of which y gets the greatest of two by two
    cell     bytes of a cell of x: 64, or 4 if x is planar; a block of x is one channel then
    residual "none"; "after" adds the map at r to what the activation gives, "before" to what goes
             in; not with ``pool``
    pool     "none"; "first" pools what goes into the activation, which must be monotone, "last"
             what comes out
    taps, tap  of a planar x, taps in a row and bytes from one to the next
    unroll   channels of x a step; `unrolled` tells how many keep LLVM from spilling
    x        the first tap of the first tile
    height, tiles  how many rows of y, or of pairs of rows, and tiles in each; at least 1
    steps    channels of a block, divided by ``unroll``
    x_line, x_row, x_tap  bytes of x from a row of the convolution to the next, from a tap to the
             one below and to the one beside (dilation)
    w_block  bytes from a block of filters to the next
    """
    code = Code(module, name, 19)
    x, w, bias, y, r, height, count, blocks, size, steps, x_plane, x_line = code.args[:12]
    x_row, x_tap, w_block, y_plane, y_row, r_plane, r_row = code.args[12:]
    rows = 1 if pool == "none" else 2
    across = stride * cell * cells  # bytes of x from a tile to the next
    along = CELL * cells // rows  # and of y
    spots = [(code.mul(x_line, i), p * stride * cell) for i in range(rows) for p in range(cells)]
    below = code.mul(x_line, rows)

    def ahead(x):
        """Bring what the tile below will need nearer, while there is time."""
        for p in range(0, across * rows, CELL):
            code.prefetch(x, code.add(below, p), near=False)

    def near(x):
        """Bring a block of the tile into the first cache before all its lines are read at once."""
        for p in range(0, across * rows, CELL):
            code.prefetch(x, p)

    def tile(_, x, y, r):
        outs = [code.add(y, code.mul(y_plane, i)) for i in range(filters)]
        others = [code.add(r, code.mul(r_plane, i)) for i in range(filters)]
        for out in outs:
            for p in range(0, along, CELL):
                code.prefetch(out, p, write=True)
        start = [code.load(bias, i * CELL) for i in range(filters) for _ in range(cells * rows)]
        taken = sums(
            code, x, w, start, (blocks, size, size, steps), (x_plane, x_row, x_tap, w_block),
            filters=filters, unroll=unroll, spots=spots, ahead=ahead, near=None if taps else near,
            line=range(0, taps * tap, tap) if taps else (),
        )  # fmt: skip
        for i in range(filters):
            part = taken[i * cells * rows : (i + 1) * cells * rows]
            if pool == "last":
                part = activated(code, part, activation)
            if rows == 2:
                part = pool2x2(code, part)
            formula = "linear" if pool == "last" else activation
            finish(code, part, outs[i], others[i], formula, residual)
        return [code.add(x, across), code.add(y, along), code.add(r, along)]

    def line(_, x, y, r):
        code.loop(count, [x, y, r], tile)
        return [code.add(x, below), code.add(y, y_row), code.add(r, r_row)]

    code.loop(height, [x, y, r], line)
    code.end()


def sums(
    code, x, w, taken, counts, strides, *, filters, unroll, spots, line=(), ahead=None, near=None
):
    """Add to Vectors what all channels and taps of a tile give; return them.

    taken    [block of filters][cell]
    counts   blocks of x, rows and columns of taps, steps of ``unroll`` channels in a block
    strides  bytes from block to block of x, row to row, tap to tap, filter block to filter block
    spots    where each cell is from the first: bytes known when it runs, and bytes known now
    line     if x is planar, bytes from the first tap of a row to each; a block is one channel then
    ahead    called with x at the first tap of each row
    near     called with x at the first tap of the next block
    """
    blocks, rows, cols, steps = counts
    x_plane, x_row, x_tap, w_block = strides

    def add(x, w, taken, numbers):
        """Add what the weights at w give, times the number at each of ``numbers`` from x."""
        for k, number in enumerate(numbers):
            if k:
                code.fence()  # else LLVM loads all weights at once, and spills
            bases = [code.add(w, code.mul(w_block, i)) for i in range(filters)]
            vectors = [code.load(one, k * CELL) for one in bases]
            for p, (below, beside) in enumerate(spots):
                one = code.spread(code.add(x, below), beside + number)
                for i in range(filters):
                    at = i * len(spots) + p
                    taken[at] = code.fma(vectors[i], one, taken[at])
        return taken

    def step(_, x, w, *taken):
        taken = add(x, w, list(taken), range(0, 4 * unroll, 4))
        return [code.add(x, 4 * unroll), code.add(w, CELL * unroll), *taken]

    def over_cols(_, x, w, *taken):
        added = code.loop(steps, [x, w, *taken], step)[2:]
        return [code.add(x, x_tap), code.add(w, TAP), *added]

    def over_rows(_, x, w, *taken):
        if ahead:
            ahead(x)
        if line:
            w, taken = code.add(w, CELL * len(line)), add(x, w, list(taken), line)
        else:
            _, w, *taken = code.loop(cols, [x, w, *taken], over_cols)
        return [code.add(x, x_row), w, *taken]

    def over_blocks(_, x, w, *taken):
        if near:
            near(code.add(x, x_plane))
        _, w, *taken = code.loop(rows, [x, w, *taken], over_rows)
        return [code.add(x, x_plane), w, *taken]

    return code.loop(blocks, [x, w, *taken], over_blocks)[2:]


def pool2x2(code, values):
    """Return the greatest of two by two of two rows of Vectors."""
    cells = len(values) // 2
    upper, lower = values[:cells], values[cells:]
    tall = [code.maximum(a, b) for a, b in zip(upper, lower, strict=True)]
    return [code.maximum(a, b) for a, b in zip(tall[::2], tall[1::2], strict=True)]


def activated(code, values, activation):
    """Return Vectors activated, one after the other, over memory: together they are too many."""
    room = code.room(len(values))
    write(code, values, room)
    finish_in_turn(code, len(values), room, room, activation, "none")
    return [code.load(room, p * CELL) for p in range(len(values))]


def finish(code, values, y, r, activation, residual):
    """Activate Vectors, add the ones at r, and write them side by side to y."""
    if activation in SHORT:
        for p, value in enumerate(values):
            code.store(final(code, value, r, p * CELL, activation, residual), y, p * CELL)
    else:
        write(code, values, y)
        finish_in_turn(code, len(values), y, r, activation, residual)


def finish_in_turn(code, count, y, r, activation, residual):
    """Activate the Vectors at y in a loop, for formulas that need many registers."""

    def one(i):
        at = code.mul(i, CELL)
        code.store(final(code, code.load(y, at), r, at, activation, residual), y, at)
        return []

    code.loop(count, [], one)


def final(code, value, r, at, activation, residual):
    """Return a Vector activated, with the one at r + at added before or after."""
    if residual == "before":
        value = value + code.load(r, at)
    value = activate(code, value, activation)
    return value + code.load(r, at) if residual == "after" else value


def write(code, values, y):
    for p, value in enumerate(values):
        code.store(value, y, p * CELL)
