"""Rows of what acts on each number of maps alone: sums, products, activations, copies.

Where not said otherwise, maps may be blocked or planar (all of one op alike), channel ranges of
wider maps, and with any border; y may be x.
"""

from __future__ import annotations

from .records import CELL, LANES, Map, Row, kernel

NONE = (0, 0, 0, 0)
PART = 1 << 16  # bytes of a map that a task does at least, if there are so many


def planes(
    kernel, y, maps, *, blocks=None, rows=None, vectors=None, extra=0, split=True, barrier=True
):
    """Return the row that runs a kernel of ``emit/elementwise.py`` over bands of rows.

    y       the Map whose pictures, blocks and rows count, where the others are not given
    maps    four of: Map, None, or (address, image, plane, row) in bytes
    split   whether rows of a plane may go to several tasks
    """
    blocks = y.blocks if blocks is None else blocks
    rows = y.h if rows is None else rows
    vectors = y.w * y.cell // CELL if vectors is None else vectors
    band = max(1, min(rows, PART // max(1, vectors * CELL))) if split else rows
    bands = -(-rows // band)
    places = []
    for one in maps:
        places += strides(one) if isinstance(one, Map) else one or NONE
    args = (kernel, blocks, bands, band, rows, vectors, extra, *places)
    return Row("elementwise.planes", args, y.n * blocks * bands, barrier=barrier)


def strides(x: Map):
    """Return (address, image, plane, row) of a Map."""
    return x.address, x.image, x.plane, x.row


def kind(y: Map):
    """Return what kernels must know of rows: how vectors lie, and what remains of a row."""
    whole, rest = divmod(y.w * y.block, LANES)
    return {"align": 64 if y.block == LANES else 4, "whole": whole > 0, "rest": rest}


def alike(*maps):
    first = maps[0]
    for one in maps[1:]:
        same = (one.n, one.c, one.h, one.w, one.block)
        assert same == (first.n, first.c, first.h, first.w, first.block), (one, first)


def add(*maps: Map, activation="linear"):
    """Return the rows that fill the last of maps with the activated sum of the others."""
    *xs, y = maps
    alike(*maps)
    rows, first = [], xs[:3]
    rest = xs[3:]
    while True:
        name = "linear" if rest else activation
        add = kernel("elementwise", "add", maps=len(first), activation=name, **kind(y))
        rows.append(planes(add, y, [*first, *[None] * (3 - len(first)), y]))
        if not rest:
            return rows
        first, rest = [y, *rest[:2]], rest[2:]


def activate(x: Map, y: Map, activation):
    """Return the rows that fill y with the activated x."""
    return add(x, y, activation=activation)


def activate_grad(dy: Map, z: Map, dz: Map, activation):
    """Return the rows that fill dz with dy times the slope at z, what went into the activation."""
    alike(dy, z, dz)
    times = kernel("elementwise", "activate_grad", activation=activation, **kind(dz))
    return [planes(times, dz, [dy, z, None, dz])]


def bias(x: Map, bias, y: Map, activation="linear"):
    """Return the rows that fill y with x plus a bias a channel, activated.

    bias  the address of c float32, or of whole blocks at a multiple of 64 if maps are blocked; or
          a records.Packed
    """
    alike(x, y)
    plus = kernel("elementwise", "by_channel", how="plus", activation=activation, **kind(y))
    return [planes(plus, y, [x, (bias, 0, y.cell, 0), None, y])]


def multiply(x: Map, by: Map, y: Map, activation="linear"):
    """Return the rows that fill y with x times ``by``, activated.

    x, by  of the shape of y; one of them may be (n, c, 1, 1)
    """
    if (x.h, x.w) != (y.h, y.w):
        x, by = by, x
    alike(x, y)
    if (by.h, by.w) == (x.h, x.w):
        alike(x, by)
        times = kernel("elementwise", "multiply", activation=activation, **kind(y))
        return [planes(times, y, [x, by, None, y])]
    assert (by.n, by.c, by.h, by.w, by.block) == (x.n, x.c, 1, 1, x.block), by
    times = kernel("elementwise", "by_channel", how="times", activation=activation, **kind(y))
    return [planes(times, y, [x, (by.address, by.image, by.plane, 0), None, y])]


def multiply_grad(dz: Map, x: Map, dby: Map):
    """Return the rows that fill dby (n, c, 1, 1) with the sums of dz x over cells; blocked."""
    alike(dz, x)
    assert (dby.n, dby.c, dby.h, dby.w) == (x.n, x.c, 1, 1), dby
    return [planes(kernel("elementwise", "dot"), x, [dz, x, None, dby], split=False)]


def fill(y: Map, value=0.0):
    """Return the rows that write a number into every cell of y, blocked, but not its border."""
    return [planes(kernel("elementwise", "fill", value=str(value)), y, [None, None, None, y])]


def clear_rest(y: Map):
    """Return the rows that write zeros into the last block of y, blocked, if it is not whole."""
    if y.c % LANES == 0:
        return []
    last = at(y, y.blocks - 1)
    return [planes(kernel("elementwise", "fill", value="0"), y, [None] * 3 + [last], blocks=1)]


def zero_border(y: Map, barrier=False):
    """Return the rows that write zeros around each plane of y."""
    if not any(y.border):
        return []
    args = (y.address, y.blocks, y.image, y.plane, y.row, y.cell, y.h, y.w, *y.border)
    return [Row("elementwise.border", args, y.n * y.blocks, barrier=barrier)]


def copy(x: Map, y: Map, *, x_start=0, y_start=0, count=None):
    """Return the rows that copy channels x_start, x_start + 1, ... of x to y_start, ... of y.

    count  how many; all that x has, if not given. Channels of y beside them stay as they are, but
           those that both starts, being multiples of 16, let end with y or with x: what x has in
           the rest of its last block goes along.
    """
    count = x.c - x_start if count is None else count
    assert (x.n, x.h, x.w, x.block) == (y.n, y.h, y.w, y.block), (x, y)
    assert x_start + count <= x.c and y_start + count <= y.c, (x_start, y_start, count)
    x_from, y_from = x_start // x.block, y_start // y.block
    if x_start % x.block == 0 and y_start % y.block == 0:
        ends = count % y.block == 0 or y_start + count == y.c
        whole = -(-count // y.block) if ends else count // y.block
    else:
        whole = 0
    rows = []
    if whole:
        same = kernel("elementwise", "add", maps=1, activation="linear", **kind(y))
        maps = [at(x, x_from), None, None, at(y, y_from)]
        rows.append(planes(same, y, maps, blocks=whole, barrier=False))
    done = whole * y.block
    if done < count:
        rows += shifted(x, y, x_start + done, y_start + done, count - done)
    return [*rows[:-1], rows[-1]._replace(barrier=True)] if rows else []


def at(x: Map, block):
    """Return (address, image, plane, row) of x from a block on."""
    if block == 0:
        return strides(x)  # whatever its address is
    return x.address + block * x.plane, x.image, x.plane, x.row


def shifted(x, y, x_start, y_start, count):
    """Return the rows that copy channels to others, with no barriers: a row for blocks alike."""
    found = []
    for block in range(y_start // LANES, -(-(y_start + count) // LANES)):
        first = max(0, y_start - block * LANES)
        last = min(LANES, y_start + count - block * LANES)
        source = x_start + block * LANES - y_start  # the channel of x that lane 0 would have
        from_block = (source + first) // LANES
        shift = source - from_block * LANES
        two = shift + last > LANES
        params = {"shift": shift, "first": first, "last": last, "two": two}
        if found and found[-1][0] == params:
            found[-1][3] += 1
        else:
            found.append([params, from_block, block, 1])
    rows = []
    for params, from_block, block, blocks in found:
        move = kernel("elementwise", "shift", **params)
        following = at(x, from_block + 1) if params["two"] else None
        maps = [at(x, from_block), following, None, at(y, block)]
        rows.append(planes(move, y, maps, blocks=blocks, barrier=False))
    return rows
