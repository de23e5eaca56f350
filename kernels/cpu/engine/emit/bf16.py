"""Vector code on bf16: float32 without the last 16 bits, 32 channels a cell of 64 bytes.

Sums are float32. `correlate` uses VDPBF16PS, which multiplies pairs of channels; weights for it are
pairs too, and so they are for the tiles of `amx`, whose sums `finish` rounds and stores as well.
"""

from llvmlite import ir

from ..records import LANES
from .activation import activate
from .code import HALF, INTS, VECTOR, VOID, Code, Vector
from .depthwise import taps
from .elementwise import MAPS, sweep

CELL = 64  # bytes of a cell of 32 channels
SUMS = 128  # bytes of the sums of a cell
ROOM = 2 * LANES * SUMS  # of the sums of two runs; more memory follows that nobody reads
SIDE = 16 * CELL  # bytes of the weights of one tap for 32 channels and 16 filters

SHORT = ir.IntType(16)
SHORTS = ir.VectorType(SHORT, 2 * LANES)


class BFloat(ir.types._BaseFloatType):
    """LLVM's bfloat, which llvmlite does not name."""

    null = "0.0"
    intrinsic_name = "bf16"

    def __str__(self):
        return "bfloat"


BFloat._create_instance()
PAIRS = ir.VectorType(BFloat(), 2 * LANES)


# cells ------------------------------------------------------------------------------------


def intrinsic(code, name, result, *values):
    """Return what an intrinsic of LLVM makes of values."""
    function = code.module.globals.get(name)
    if function is None:
        signature = ir.FunctionType(result, [one.type for one in values])
        function = ir.Function(code.module, signature, name)
    return code.builder.call(function, values)


def cell(code, address, offset=0):
    """Return the 64 bytes at address + offset as 32 int16."""
    value = code.builder.load(code.pointer(code.add(address, offset), SHORTS))
    value.align = CELL
    return value


def put(code, value, address, offset=0):
    """Write 64 bytes of any vector to address + offset."""
    where = code.pointer(code.add(address, offset), value.type)
    code.builder.store(value, where).align = CELL


def wide(code, value):
    """Return the first 16 and the last 16 channels of a cell as Vectors."""
    builder = code.builder
    halves = []
    for start in (0, LANES):
        lanes = ir.Constant(INTS, list(range(start, start + LANES)))
        half = builder.shuffle_vector(value, ir.Constant(SHORTS, ir.Undefined), lanes)
        bits = builder.shl(builder.zext(half, INTS), ir.Constant(INTS, [16] * LANES))
        halves.append(Vector(code, builder.bitcast(bits, VECTOR)))
    return halves


def narrow(code, low, high):
    """Return two Vectors as a cell, rounded to the nearest, ties to even."""
    name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
    return code.builder.bitcast(intrinsic(code, name, PAIRS, high.value, low.value), SHORTS)


def ordered(code, value):
    """Return a cell as int16 that compare as its numbers do, or such int16 as a cell."""
    builder = code.builder
    sign = builder.ashr(value, ir.Constant(SHORTS, [15] * 32))
    return builder.xor(value, builder.and_(sign, ir.Constant(SHORTS, [0x7FFF] * 32)))


def greater(code, a, b):
    """Return the greater of each pair of ordered int16."""
    return code.builder.select(code.builder.icmp_signed(">", a, b), a, b)


# convolution ------------------------------------------------------------------------------

ARGS = (
    "x x2 w ahead blocks rows cols x_plane x_row x_tap bias y y2 r r2 skip skip2 col col2 y_plane "
    "width pitch y_wrap r_wrap scratch"
)


def correlate(
    module, name, *, units, cells, sides, step, ahead, flat, activation, residual, pool, whole
):  # fmt: skip
    """Write name(ARGS): 32 filters at up to two runs of cells, with VDPBF16PS.

    Sums stay in scratch; what the call before left there is biased, activated and stored first.

    units    runs of cells; the first begins at x, the second at x2; or none
    cells    of a run, ``step`` bytes of x apart; units * cells is at most 14
    w        [block of x][row][col][2][16 pairs of channels][16 filters][2]
    skip     cells of a run that are not stored, since another call stores them; y and r are where
             the first that is stored lies
    flat     runs go on from a row to the next: ``pitch`` cells of x make a row, ``width`` of them
             are stored, the first of a run is in column ``col``; when a row ends, y and r move by
             ``y_wrap`` and ``r_wrap`` more than a cell
    ahead    lines of the weights at ``ahead`` to fetch into the second cache in each step; the rest
             as `finish` has it
    """
    code = Code(module, name, len(ARGS.split()))
    arg = dict(zip(ARGS.split(), code.args, strict=True))
    unroll = 4

    def tap(x, x2, w, *taken):
        def pairs(_, x, x2, w, *taken):
            taken = list(taken)
            for k in range(unroll):
                if k:
                    code.fence()  # else LLVM loads all that it can at once, and spills
                weights = [_pairs(code, w, side * SIDE + k * CELL) for side in range(sides)]
                for p in range(units * cells):
                    base = x2 if p >= cells else x
                    one = _spread(code, base, p % cells * step + 4 * k)
                    for side in range(sides):
                        at = p * sides + side
                        taken[at] = Vector(code, _dot(code, taken[at].value, weights[side], one))
            moved = [code.add(one, 4 * unroll) for one in (x, x2)]
            return [*moved, code.add(w, CELL * unroll), *taken]

        return code.loop(LANES // unroll, [x, x2, w, *taken], pairs)[3:]

    finish(code, arg, cells, sides, flat, activation, residual, pool, whole)
    if not units:
        code.end()
        return
    zero = [code.vector(0.0)] * (units * cells * sides)
    taken = over_taps(code, arg, ahead, tap, zero)
    for p in range(units * cells):
        for side in range(sides):
            code.store(taken[p * sides + side], arg["scratch"], p * SUMS + side * CELL)
    code.end()


def over_taps(code, arg, ahead, tap, carried):
    """Write the loops over blocks, rows and columns of taps; return what ``tap`` carries."""

    def over_cols(_, x, x2, w, to, *carried):
        for line in range(ahead):
            fetch(code, to, line * CELL)
        carried = tap(x, x2, w, *carried)
        moved = [code.add(one, arg["x_tap"]) for one in (x, x2)]
        return [*moved, code.add(w, 2 * SIDE), code.add(to, ahead * CELL), *carried]

    def over_rows(_, x, x2, *rest):
        rest = code.loop(arg["cols"], [x, x2, *rest], over_cols)[2:]
        return [code.add(one, arg["x_row"]) for one in (x, x2)] + rest

    def over_blocks(_, x, x2, *rest):
        rest = code.loop(arg["rows"], [x, x2, *rest], over_rows)[2:]
        return [code.add(one, arg["x_plane"]) for one in (x, x2)] + rest

    start = [arg["x"], arg["x2"], arg["w"], arg["ahead"], *carried]
    return code.loop(arg["blocks"], start, over_blocks)[4:]


def fetch(code, address, offset):
    """Ask for the line at address + offset in the second cache."""
    pointer = code.pointer(code.add(address, offset), ir.IntType(8))
    numbers = [ir.Constant(HALF, n) for n in (0, 2, 1)]  # to read, second cache, data
    intrinsic(code, "llvm.prefetch.p0", VOID, pointer, *numbers)


def finish(code, arg, cells, sides, flat, activation, residual, pool, whole):
    """Write biases, activation and stores of the sums in scratch, [two runs][cell][32].

    sides     1 if there are but 16 filters, else 2
    residual  "none"; "after" adds the cells at r to what the activation gives, "before" to what
              goes in
    pool      "first": the greatest of two cells by two units goes into the activation; "last": the
              greatest of what comes out is stored; "none"
    whole     whether y is float32 with blocks of 16, the second of them y_plane bytes further (with
              y_plane 0 there is none); if not, y is bf16
    """
    bias = [code.load(arg["bias"], side * CELL) for side in range(sides)]

    def value(sums, r):
        halves = [code.load(sums, side * CELL) + bias[side] for side in range(sides)]
        if residual == "none":
            return [activate(code, half, activation) for half in halves]
        others = wide(code, cell(code, r))[:sides]
        return finished(code, halves, others, activation, residual)

    def write(halves, y, inside=None):
        places = [code.add(y, code.mul(arg["y_plane"], side)) for side in range(sides)]
        if inside is not None:
            places = [builder.select(inside, place, nowhere) for place in places]
        if not whole:
            put(code, narrow(code, halves[0], halves[-1]), places[0])
            return
        for half, place in reversed(list(zip(halves, places, strict=True))):
            code.store(half, place)

    builder = code.builder
    nowhere = code.add(arg["scratch"], ROOM)

    def each(_, sums, y, r, col):
        moved = [code.add(sums, SUMS), code.add(y, CELL), code.add(r, CELL), code.add(col, 1)]
        inside = builder.icmp_signed("<", col, arg["width"]) if flat else None
        write(value(sums, r), y, inside)
        if flat:
            ends = builder.icmp_signed("==", moved[3], arg["pitch"])
            for i, more in ((1, arg["y_wrap"]), (2, arg["r_wrap"])):
                moved[i] = code.add(moved[i], builder.select(ends, more, code.integer(0)))
            moved[3] = builder.select(ends, code.integer(0), moved[3])
        return moved

    def four(_, sums, y):
        places = [at + down for down in (0, cells * SUMS) for at in (0, SUMS)]
        halves = []
        for side in range(sides):
            values = [code.load(sums, place + side * CELL) for place in places]
            if pool == "last":
                values = [activate(code, one + bias[side], activation) for one in values]
            most = code.maximum(code.maximum(*values[:2]), code.maximum(*values[2:]))
            if pool == "first":
                most = activate(code, most + bias[side], activation)
            halves.append(most)
        write(halves, y)
        return [code.add(sums, 2 * SUMS), code.add(y, CELL)]

    if pool != "none":
        skip = arg["skip"]
        count = builder.ashr(builder.sub(code.integer(cells), skip), code.integer(1))
        code.repeat(count, [code.add(arg["scratch"], code.mul(skip, SUMS)), arg["y"]], four)
        return
    for unit, mark in enumerate(("", "2")):
        skip = arg["skip" + mark]
        count = builder.sub(code.integer(cells), skip)
        start = code.add(code.add(arg["scratch"], unit * cells * SUMS), code.mul(skip, SUMS))
        code.repeat(count, [start, *(arg[one + mark] for one in ("y", "r", "col"))], each)


def _pairs(code, address, offset):
    value = code.builder.load(code.pointer(code.add(address, offset), PAIRS))
    value.align = CELL
    return value


def _spread(code, address, offset):
    """Return the two bf16 at address + offset, sixteen times."""
    one = code.builder.load(code.pointer(code.add(address, offset), HALF))
    one.align = 4
    empty = ir.Constant(INTS, ir.Undefined)
    first = code.builder.insert_element(empty, one, ir.Constant(HALF, 0))
    spread = code.builder.shuffle_vector(first, empty, ir.Constant(INTS, [0] * LANES))
    return code.builder.bitcast(spread, PAIRS)


def _dot(code, sums, a, b):
    return intrinsic(code, "llvm.x86.avx512bf16.dpbf16ps.512", VECTOR, sums, a, b)


# other ops --------------------------------------------------------------------------------


def interleave(module, name, *, channels):
    """Write name(x, plane, y, count, vectors): a row of a planar float32 map as cells of 4 bf16.

    x        the row's first number; the next channel is ``plane`` bytes further
    count    numbers of the row; what follows them in y is zero
    vectors  how many times 16 cells (128 bytes) are written to y
    """
    code = Code(module, name, 5)
    x, plane, y, count, vectors = code.args
    builder = code.builder
    lanes = ir.Constant(INTS, list(range(LANES)))
    zero = ir.Constant(VECTOR, [0.0] * LANES)

    def sixteen(_, x, y, left):
        most = builder.select(
            builder.icmp_signed(">", left, code.integer(LANES)), code.integer(LANES), left
        )
        mask = builder.icmp_signed("<", lanes, _all(code, builder.trunc(most, HALF)))
        values = []
        for channel in range(channels):
            where = code.pointer(code.add(x, code.mul(plane, channel)), VECTOR)
            values.append(_masked(code, where, mask, zero))
        values += [zero] * (4 - channels)
        a, b = (narrow(code, Vector(code, values[i]), Vector(code, values[i + 1])) for i in (0, 2))
        for half in range(2):
            cells = [(8 * half + p, c) for p in range(8) for c in range(4)]
            order = [16 * (c % 2) + 32 * (c // 2) + p for p, c in cells]
            kinds = ir.VectorType(HALF, 32)
            mixed = builder.shuffle_vector(a, b, ir.Constant(kinds, order))
            put(code, mixed, y, half * CELL)
        return [code.add(x, CELL), code.add(y, 2 * CELL), code.add(left, -LANES)]

    code.loop(vectors, [x, y, count], sixteen)
    code.end()


def _all(code, value):
    empty = ir.Constant(INTS, ir.Undefined)
    first = code.builder.insert_element(empty, value, ir.Constant(HALF, 0))
    return code.builder.shuffle_vector(first, empty, ir.Constant(INTS, [0] * LANES))


def _masked(code, where, mask, other):
    """Return the numbers at a pointer where a mask says yes; no others are read."""
    name = "llvm.masked.load.v16f32.p0"
    return intrinsic(code, name, VECTOR, where, ir.Constant(HALF, 4), mask, other)


def maximum(module, name, *, step):
    """Write name(x, y, count, rows, cols, x_row): of each cell of y the greatest of a window of x.

    step  bytes from window to window
    """
    code = Code(module, name, 6)
    x, y, count, rows, cols, x_row = code.args

    def window(_, x, y):
        def over_cols(_, x, most):
            return [code.add(x, CELL), greater(code, ordered(code, cell(code, x)), most)]

        def over_rows(_, x, most):
            return [code.add(x, x_row), code.loop(cols, [x, most], over_cols)[1]]

        least = ir.Constant(SHORTS, [-0x8000] * 32)
        most = code.loop(rows, [x, least], over_rows)[1]
        put(code, ordered(code, most), y)
        return [code.add(x, step), code.add(y, CELL)]

    code.loop(count, [x, y], window)
    code.end()


def depthwise(module, name, *, size, stride, dilation, cells, sides, bias, activation, residual):
    """Write what `depthwise.depthwise` does, for cells of 32 channels.

    sides  1 if there are but 16 channels, else 2
    w  [16 channels twice][size][size][16] float32; up to 3x3 they stay in registers
    """
    code = Code(module, name, 12)
    x, w, b, y, r, x_row, x_step, y_row, r_row, rows, tiles, count = code.args
    start = [code.load(b, side * CELL) if bias else code.vector(0.0) for side in range(sides)]
    places = [(side, i) for side in range(sides) for i in range(size * size)]
    kept = {}
    if size <= 3:
        kept = {at: code.load(w, (at[0] * size * size + at[1]) * CELL) for at in places}

    def line(x, weights, sums):
        sums = list(sums)
        for q, uses in taps(size, stride, dilation, cells):
            halves = wide(code, cell(code, x, q * CELL))
            for k, p in uses:
                for side in range(sides):
                    at = p * sides + side
                    sums[at] = code.fma(weights(side, k), halves[side], sums[at])
        return sums

    def each_line(_, x, w, *sums):
        loaded = {
            (side, k): code.load(w, (side * size * size + k) * CELL)
            for side in range(sides)
            for k in range(size)
        }
        sums = line(x, lambda side, k: loaded[side, k], sums)
        return [code.add(x, x_row), code.add(w, size * CELL), *sums]

    def all_lines(x):
        sums = start * cells
        if not kept:
            return code.loop(count, [x, w, *sums], each_line)[2:]
        for i in range(size):
            row = code.add(x, code.mul(x_row, i))
            sums = line(row, lambda side, k, i=i: kept[side, i * size + k], sums)
        return sums

    def each_tile(_, x, y, r):
        sums = all_lines(x)
        for p in range(cells):
            halves = sums[p * sides : (p + 1) * sides]
            others = wide(code, cell(code, r, p * CELL))[:sides] if residual != "none" else None
            halves = finished(code, halves, others, activation, residual)
            put(code, narrow(code, halves[0], halves[-1]), y, p * CELL)
        far = cells * CELL
        return [code.add(x, far * stride), code.add(y, far), code.add(r, far)]

    def each_row(_, x, y, r):
        code.loop(tiles, [x, y, r], each_tile)
        return [code.add(x, x_step), code.add(y, y_row), code.add(r, r_row)]

    code.loop(rows, [x, y, r], each_row)
    code.end()


def finished(code, halves, others, activation, residual):
    """Return the halves of a cell activated, with those of another added before it or after."""
    if residual == "before":
        halves = [a + b for a, b in zip(halves, others, strict=True)]
    halves = [activate(code, half, activation) for half in halves]
    if residual == "after":
        halves = [a + b for a, b in zip(halves, others, strict=True)]
    return halves


def add(module, name, *, activation):
    """Activate the sum of the first two maps into the last (see `elementwise.sweep`)."""

    def body(code, at, _):
        pairs = zip(wide(code, cell(code, at[0])), wide(code, cell(code, at[1])), strict=True)
        put(code, narrow(code, *[activate(code, a + b, activation) for a, b in pairs]), at[3])

    sweep(module, name, body, [CELL] * MAPS)


def rounded(module, name):
    """Round two float32 maps, the first and the last 16 channels of blocks, to one of bf16."""

    def body(code, at, _):
        put(code, narrow(code, code.load(at[0]), code.load(at[1])), at[3])

    sweep(module, name, body, [CELL] * MAPS)


def widened(module, name):
    """Write a bf16 map as two of float32, the third and the last, which may be one."""

    def body(code, at, _):
        low, high = wide(code, cell(code, at[0]))
        code.store(high, at[2])
        code.store(low, at[3])

    sweep(module, name, body, [CELL] * MAPS)
