"""Convolution by AMX: tiles of 16 rows of 64 bytes; two are multiplied and added to a third.

A tile of x has a cell of 32 channels in each row, a tile of weights 16 pairs of channels by 16
filters, a tile of sums a cell of 16 filters in each row. Two tiles of cells and two of filters give
four of sums: tiles 0 to 3 hold sums (2 * unit + side), 4 and 5 x, 6 and 7 weights.
"""

from itertools import product

from llvmlite import ir

from .bf16 import ARGS, CELL, ROOM, SIDE, SUMS, fetch, finish, intrinsic
from .code import INT, INTS, VOID, Code

BYTE = ir.IntType(8)
STEPS = 9  # products of four tiles from one store of sums to the next


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
    module, name, *, units, cells, sides, step, ahead, flat, rows, cols, unroll, activation,
    residual, pool, whole,
):  # fmt: skip
    """Write what `bf16.correlate` does, for at most 16 cells a run; tiles are configured before.

    rows, cols  of taps; all of them are written out, and so are ``unroll`` blocks of x, which
                divides their number

    Sums of the call before are finished while the products of this one are under way.

    Now and then a tile of sums is stored that are not complete: where none is for more than 32
    steps of four products, the next one costs some 800 cycles (measured on Sapphire Rapids; the
    reason is not known), and one in 9 steps costs nothing.
    """
    code = Code(module, name, len(ARGS.split()))
    arg = dict(zip(ARGS.split(), code.args, strict=True))

    def load(tile, address, stride):
        stride = ir.Constant(INT, stride)
        intrinsic(
            code, "llvm.x86.tileloadd64", VOID, _tile(tile), code.pointer(address, BYTE), stride
        )

    def tap(x, x2, w):
        for side in range(sides):
            load(6 + side, code.add(w, side * SIDE), CELL)
            for unit, base in zip(range(units), (x, x2), strict=False):
                if side == 0:
                    load(4 + unit, base, step)
                three = (2 * unit + side, 4 + unit, 6 + side)
                intrinsic(code, "llvm.x86.tdpbf16ps", VOID, *map(_tile, three))

    def save(tile, to):
        to = code.add(to, tile // 2 * cells * SUMS + tile % 2 * CELL)
        values = _tile(tile), code.pointer(to, BYTE), ir.Constant(INT, SUMS)
        intrinsic(code, "llvm.x86.tilestored64", VOID, *values)

    places = list(product(range(unroll), range(rows), range(cols)))

    def block(_, x, x2, w, to):
        for at, (b, row, col) in enumerate(places):
            if at % STEPS == 0:
                save(0, code.add(arg["scratch"], ROOM))
            offset = code.add(code.mul(arg["x_plane"], b), code.mul(arg["x_row"], row))
            offset = code.add(offset, code.mul(arg["x_tap"], col))
            for line in range(ahead):
                fetch(code, to, (at * ahead + line) * CELL)
            tap(code.add(x, offset), code.add(x2, offset), code.add(w, 2 * SIDE * at))
        moved = [code.add(one, code.mul(arg["x_plane"], unroll)) for one in (x, x2)]
        steps = len(places)
        return [*moved, code.add(w, 2 * SIDE * steps), code.add(to, ahead * CELL * steps)]

    tiles = [2 * unit + side for unit in range(units) for side in range(sides)]
    for tile in tiles:
        intrinsic(code, "llvm.x86.tilezero", VOID, _tile(tile))
    if not units:
        finish(code, arg, cells, sides, flat, activation, residual, pool, whole)
        code.end()
        return
    times = arg["blocks"] if unroll == 1 else code.builder.sdiv(arg["blocks"], code.integer(unroll))
    code.loop(times, [arg["x"], arg["x2"], arg["w"], arg["ahead"]], block)
    finish(code, arg, cells, sides, flat, activation, residual, pool, whole)
    for tile in tiles:
        save(tile, arg["scratch"])
    code.end()


def _tile(number):
    return ir.Constant(BYTE, number)
