"""Convolution by AMX: a tile is 16 rows of 64 bytes, an instruction multiplies two and adds to a
third.

A tile of x has a cell of 32 channels in each row, a tile of weights 16 pairs of channels by 16
filters, a tile of sums a cell of 16 filters in each row. Two tiles of cells and two of filters give
four of sums: tiles 0 to 3 hold sums (2 * unit + side), 4 and 5 x, 6 and 7 weights.
"""

from llvmlite import ir

from .bf16 import ARGS, CELL, SIDE, SUMS, fetch, finish, intrinsic
from .code import INT, INTS, VOID, Code

BYTE = ir.IntType(8)


def configure(module, name, *, cells):
    """Write name(): tiles of so many rows for x and sums, which this thread has until `release`."""
    code = Code(module, name, 0)
    settings = bytearray(64)
    settings[0] = 1  # the only palette there is
    for tile in range(8):
        settings[16 + 2 * tile] = 64  # bytes of a row
        settings[48 + tile] = cells if tile < 6 else 16
    words = [int.from_bytes(settings[i : i + 4], "little") for i in range(0, 64, 4)]
    room = code.room(1)
    code.builder.store(ir.Constant(INTS, words), code.pointer(room, INTS)).align = 64
    intrinsic(code, "llvm.x86.ldtilecfg", VOID, code.pointer(room, BYTE))
    code.end()


def release(module, name):
    """Write name(): give the tiles back."""
    code = Code(module, name, 0)
    intrinsic(code, "llvm.x86.tilerelease", VOID)
    code.end()


def correlate(
    module,
    name,
    *,
    units,
    cells,
    step,
    ahead,
    rows,
    cols,
    unroll,
    activation,
    residual,
    pool,
    whole,
):
    """Write what `bf16.correlate` does, for at most 16 cells a run; tiles are configured before.

    rows, cols  of taps; all of them are written out, and so are ``unroll`` blocks of x, which
    divides
                their number

    Each turn stores a tile of sums that are not complete: where no tile is stored for more than 32
    steps of four products, the next that is costs some 800 cycles (measured on Sapphire Rapids, no
    reason known), and one in 9 steps costs nothing.
    """
    code = Code(module, name, len(ARGS.split()))
    arg = dict(zip(ARGS.split(), code.args, strict=True))

    def load(tile, address, stride):
        stride = ir.Constant(INT, stride)
        intrinsic(
            code, "llvm.x86.tileloadd64", VOID, _tile(tile), code.pointer(address, BYTE), stride
        )

    def tap(x, x2, w):
        for side in range(2):
            load(6 + side, code.add(w, side * SIDE), CELL)
            for unit, base in zip(range(units), (x, x2), strict=False):
                if side == 0:
                    load(4 + unit, base, step)
                tiles = (2 * unit + side, 4 + unit, 6 + side)
                intrinsic(code, "llvm.x86.tdpbf16ps", VOID, *map(_tile, tiles))

    def save(tile):
        to = code.add(arg["scratch"], tile // 2 * cells * SUMS + tile % 2 * CELL)
        values = _tile(tile), code.pointer(to, BYTE), ir.Constant(INT, SUMS)
        intrinsic(code, "llvm.x86.tilestored64", VOID, *values)

    def block(_, x, x2, w, to):
        save(0)
        places = [
            (b, row, col) for b in range(unroll) for row in range(rows) for col in range(cols)
        ]
        for at, (b, row, col) in enumerate(places):
            offset = code.add(code.mul(arg["x_plane"], b), code.mul(arg["x_row"], row))
            offset = code.add(offset, code.mul(arg["x_tap"], col))
            for line in range(ahead):
                fetch(code, to, (at * ahead + line) * CELL)
            tap(code.add(x, offset), code.add(x2, offset), code.add(w, 2 * SIDE * at))
        moved = [code.add(one, code.mul(arg["x_plane"], unroll)) for one in (x, x2)]
        return [
            *moved,
            code.add(w, 2 * SIDE * len(places)),
            code.add(to, len(places) * ahead * CELL),
        ]

    for tile in range(2 * units):
        intrinsic(code, "llvm.x86.tilezero", VOID, _tile(tile))
    times = arg["blocks"] if unroll == 1 else code.builder.sdiv(arg["blocks"], code.integer(unroll))
    code.loop(times, [arg["x"], arg["x2"], arg["w"], arg["ahead"]], block)
    for tile in range(2 * units):
        save(tile)
    finish(code, arg, units, cells, activation, residual, pool, whole)
    code.end()


def _tile(number):
    return ir.Constant(BYTE, number)
