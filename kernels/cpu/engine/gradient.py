"""Rows of the gradient of a convolution's weights over blocked maps."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from . import target
from .records import CELL, LANES, Map, Row, Shared, kernel

PARTS = 16  # tasks to have at least, however many threads there are
BAND = {True: 400, False: 208}  # cells of a band for 3x3 and more, and for 1x1
TASK = {True: (64, 4), False: (128, 8)}  # filters and blocks of channels of a task, at most
TILES = (3, 4, 5, 6)  # of dy, a side
CHUNK = 1 << 20  # bytes of transformed tiles that a task has at once; they stay in the second cache
LINES = 24 * 1024  # bytes of lines of cells between the two halves of a transform


def weight_grad(
    dy: Map, x: Map, dw: int, *, size, stride, padding, dilation=1, groups=1, way=None
):  # fmt: skip
    """Return the rows that fill dw with the gradient of the weights of a convolution of x.

    dy   blocked; x blocked, or planar with at most 16 channels; its border holds ``padding``
    dw   the address of float32 (f, c // groups, size, size), as in a .weights file
    way  one of `candidates`; without one, the one that `cost` finds best
    """
    if x.block == 1:
        return planar_weight_grad(dy, x, dw, size, stride, padding, dilation, groups)
    if size == 1 and tuple(stride) == (1, 1) and padding == 0:
        dy, x = in_long_rows(dy, x)
    geometry = (size, stride, padding, dilation, groups)
    way = way or min(candidates(dy, x, *geometry), key=lambda way: cost(dy, x, *geometry, way))
    if way != DIRECT:
        return winograd_weight_grad(dy, x, dw, way)
    many, some, parts = division(dy.c // groups, seen(x, groups), groups, TASK[size > 1])
    rows = max(1, BAND[size > 1] // dy.w)
    bands = -(-dy.h // rows)
    parts = min(parts, bands * dy.n)
    args, tasks, part = arguments(
        dy, x, dw, size, stride, padding, dilation, groups, many, some, parts,
        (rows, bands, bands * dy.n), size if size > 1 else seen(x, groups), stride[1],
    )  # fmt: skip
    return with_parts("gradient.blocked", args, tasks, parts, part, 0)


def in_long_rows(dy, x):
    """Return both maps with some rows taken for one, where no border lies between them."""
    if any(one.row != one.w * CELL for one in (dy, x)):
        return dy, x
    i = max(i for i in range(1, dy.h + 1) if i == 1 or (dy.h % i == 0 and i * dy.w <= BAND[False]))
    return [replace(one, h=one.h // i, w=one.w * i, row=one.row * i) for one in (dy, x)]


class Way(NamedTuple):
    """How a gradient of weights is computed.

    m      tiles of m x m cells of dy, by Winograd's products; 0 for direct sums
    fused  whether a task transforms the tiles that it multiplies, rather than a row before it
    """

    m: int
    fused: bool


DIRECT = Way(0, True)


def candidates(dy, x, size, stride, padding, dilation, groups):
    """Return the ways that there are for a convolution of a blocked x."""
    if (size, tuple(stride), padding, dilation, groups) != (3, (1, 1), 1, 1, 1):
        return [DIRECT]
    return [DIRECT, *(Way(m, fused) for m in TILES for fused in (True, False))]


def cost(dy, x, size, stride, padding, dilation, groups, way):
    """Return about how many cycles of one core a way takes: products, transforms, memory."""
    pairs = dy.blocks * x.blocks // groups
    step = 8 * 32 / min(32, 4 * target.host().registers)  # cycles of a cell, 16 x 16 channels
    if way == DIRECT:
        return dy.n * dy.h * dy.w * size * size * pairs * step * 1.1
    side = way.m + 2
    places = side**2
    tiles = dy.n * -(-dy.h // way.m) * -(-dy.w // way.m)
    many, some, parts = winograd_division(dy, x, way)
    over, under = -(-x.blocks // some), -(-dy.blocks * LANES // many)
    times = (under, over) if way.fused else (1, 1)
    transforms = tiles * places * 2 * side * (x.blocks * times[0] + dy.blocks * times[1])
    moved = 0 if way.fused else tiles * places * (x.blocks * (1 + under) + dy.blocks * (1 + over))
    chunks = -(-tiles // chunk(way, tiles, some + many // LANES)) if way.fused else parts
    sums = (chunks * 100 + parts * 60) * pairs * places
    return tiles * places * pairs * step * 1.2 + transforms + moved * 11 + sums


def chunk(way, tiles, blocks):
    """Return how many tiles a task of a fused way has at once, of blocks of dy and of x."""
    return min(tiles, max(16, CHUNK // ((way.m + 2) ** 2 * CELL * blocks)))


def winograd_weight_grad(dy, x, dw, way):
    """Return the rows of `weight_grad` for windows of 3 x 3 at stride 1, by Winograd's products."""
    m = way.m
    many, some, parts = winograd_division(dy, x, way)
    lines, wide = -(-dy.h // m), -(-dy.w // m)
    total = dy.n * lines * wide
    parts = min(parts, total)
    places = (m + 2) ** 2
    blocks, filters = (some, many // LANES) if way.fused else (x.blocks, dy.blocks)
    size = chunk(way, -(-total // parts), blocks + filters) if way.fused else total
    v, d = ((each * size + 1) * places * CELL for each in (blocks, filters))
    reach = max(1, min(wide, LINES // ((m + 2) * m * CELL)))
    room = (reach * m + 2) * (m + 2) * CELL
    args, tasks, part = arguments(
        dy, x, dw, 3, (1, 1), 1, 1, 1, many, some, parts, (size, 0, total), x.blocks, 1
    )
    u = (many * some + 1) * CELL * places
    kernels = (
        kernel("winograd", "transform_cells", m=m),
        kernel("gradient", "transform_gradient", m=m),
        kernel("gradient", "restore_weights", m=m),
    )
    sums = tasks * parts * part if parts > 1 else 0
    where = (0, 0) if way.fused else (Shared(sums), Shared(sums + v))
    args = (*args, *kernels, m, wide, lines * wide, reach, *where, room, u)
    if way.fused:
        return with_parts("gradient.winograd", args, tasks, parts, part, room + u + v + d)
    rows = with_parts("gradient.winograd", args, tasks, parts, part, room + u, v + d)
    first = Row("gradient.transform", args, x.blocks + dy.blocks, room, rows[0].shared)
    return [first, *rows]


def winograd_division(dy, x, way):
    """Return filters a task, blocks of channels a task, and parts that tiles are divided into."""
    return division(dy.c, x.blocks, 1, (128, 4) if way.fused else (64, 4), least=64)


def arguments(
    dy, x, dw, size, stride, padding, dilation, groups, many, some, parts, cells, slots, step
):  # fmt: skip
    """Return what drivers of a blocked x take first, tasks (of a part), and bytes of a part."""
    filters, channels = dy.c // groups, x.c // groups
    most, each = tile(slots)
    if groups > 1:
        each = math.gcd(each, filters)
    kernels = [
        kernel(
            "gradient", "products", vectors=min(most, i), outer=1, inner=1, taps=each,
            v_cell=CELL * step, s_cell=CELL, s_tap=4,
        )
        for i in (1, 2, 3)
    ]  # fmt: skip
    over_filters, over_blocks = -(-filters // many), -(-seen(x, groups) // some)
    part = -(-many // each) * each * some * size * size * CELL
    args = (
        *kernels, most, each, x.address - padding * (x.row + CELL), dy.address,
        Shared() if parts > 1 else 0, dw, size, x.row * stride[0], x.row * dilation,
        CELL * dilation, x.plane, x.image, dy.plane, dy.image, dy.row, dy.h, dy.w, *cells, parts,
        part, many, some, over_filters, over_blocks, filters, channels,
    )  # fmt: skip
    return args, groups * over_filters * over_blocks, part


def with_parts(driver, args, tasks, parts, part, scratch, shared=0):
    """Return a row whose tasks sum a part of the cells each, and one that adds up the parts."""
    if parts == 1:
        return [Row(driver, args, tasks, scratch + part, shared)]
    shared += tasks * parts * part
    return [
        Row(driver, args, tasks * parts, scratch, shared),
        Row("gradient.finish", args, tasks, 0, shared),
    ]


def seen(x, groups):
    """Return how many blocks of x the channels of a group lie in, at most."""
    channels = x.c // groups
    return x.blocks if groups == 1 else -(-channels // LANES) + (channels % LANES > 0)


def tile(slots):
    """Return (Vectors of x, filters) of a microkernel for so many taps of a row, or blocks."""
    registers = target.host().registers
    if registers == 32 and slots == 1:
        return 1, 16
    return {32: (3, 8), 8: (1, 4), 4: (1, 2)}[registers]


def division(filters, blocks, groups, most, least=32):
    """Return filters a task, blocks of channels a task, and parts that cells are divided into.

    A task has at most ``most`` filters and blocks, and not fewer filters than ``least``, or 3
    blocks, for the sake of having PARTS tasks.
    """
    many, some = min(most[0], -(-filters // LANES) * LANES), min(most[1], blocks)
    while groups * -(-filters // many) * -(-blocks // some) < PARTS and (many > least or some > 3):
        if many > least:
            many = max(least, -(-many // 2 // LANES) * LANES)
        else:
            some = -(-some // 2)
    return many, some, -(-PARTS // (groups * -(-filters // many) * -(-blocks // some)))


def planar_weight_grad(dy, x, dw, size, stride, padding, dilation, groups):
    """Return the rows of `weight_grad` for a planar x."""
    outer, inner = taps(x.c, size)
    rows = max(1, BAND[True] // dy.w)
    bands = -(-dy.h // rows)
    parts = min(-(-PARTS // dy.blocks), bands * dy.n)
    part = x.c * size * size * CELL
    code = kernel(
        "gradient", "products", vectors=1, outer=outer, inner=inner, taps=size, v_cell=CELL,
        s_cell=4 * stride[1], s_tap=4 * dilation,
    )  # fmt: skip
    args = (
        code, outer * inner, x.address - padding * (x.row + 4), dy.address, Shared() if parts > 1
        else 0, dw, size, x.c, x.row * stride[0], x.row * dilation, x.plane, x.image, dy.plane,
        dy.image, dy.row, dy.h, dy.w, rows, bands, bands * dy.n, parts, part, dy.c, dy.c // groups,
        x.c // groups,
    )  # fmt: skip
    if parts == 1:
        return [Row("gradient.planar", args, dy.blocks, scratch=part)]
    shared = dy.blocks * parts * part
    return [
        Row("gradient.planar", args, dy.blocks * parts, shared=shared),
        Row("gradient.finish_planar", args, dy.blocks, shared=shared),
    ]


def taps(channels, size):
    """Return (channels, rows of taps) whose sums a microkernel holds at once."""
    most = {32: 27, 8: 5, 4: 3}[target.host().registers]
    if channels * size * size <= most:
        return channels, size
    fits = [i for i in range(1, size + 1) if size % i == 0 and i * size <= most]
    return 1, max(fits, default=1)
