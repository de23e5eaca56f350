"""Rows of a convolution of each channel alone with those of 1 x 1 before and after it, in one.

A task is a stripe of rows of the result. It goes through the channels between in chunks, and for
each chunk down the rows: it expands one row into a ring of as many as the window needs, computes
the channels alone, and adds what they give to the result. What lies between never leaves the first
cache; the rows around a stripe are expanded twice. Inverted residuals are such chains: Sandler et
al. 2018, https://arxiv.org/abs/1801.04381.
"""

from __future__ import annotations

from typing import NamedTuple

from . import depthwise, target
from .direct import MOST
from .packing import aligned
from .records import CELL, LANES, Map, Packed, Row, kernel

ROOM = 40 << 10  # bytes of the ring and of the row to project, for a chunk; the first cache has 48
SPEED = {1: 0.72, 2: 0.84, 3: 0.91}  # of the peak, of tiles of so many blocks of filters
PASS = 0.15  # what it costs to add a chunk to a block of y, in time of a block of the chunk


class Part(NamedTuple):
    """A convolution of a chain: its weights and biases, packed, and its activation.

    packed  of `packing.pack`, or of `depthwise.pack`
    bias    an aligned array of whole blocks
    """

    packed: object
    bias: object
    activation: str


class Division(NamedTuple):
    """How blocks are divided: ``many`` times ``size``, then once ``rest``, each as calls of 1 x 1.

    filters  blocks of filters of a call in each, as (of the many, of the rest)
    """

    size: int
    many: int
    rest: int
    filters: tuple[int, int]


def conv2d(
    x: Map, y: Map, *, expand: Part | None, alone: Part, project: Part | None, size, stride,
    padding, stripes, residual: Map | None = None, residual_first=False,
):  # fmt: skip
    """Return the rows that fill y with a chain of convolutions of x.

    expand    1 x 1, first; x needs no border then
    alone     of each channel, of ``size``, ``stride`` and ``padding`` both ways; where nothing is
              expanded, x's border holds its padding
    project   1 x 1, last; without it, y gets what each channel alone gives
    stripes   tasks of a picture
    residual  a Map like y, added after the last activation, or before it if ``residual_first``;
              with ``project`` alone
    """
    registers = target.host().registers
    blocks = alone.packed.shape[0]
    assert expand or min(x.border) >= padding, "a small border"
    assert project or residual is None, "a residual without a projection"
    wide = (x.w + 2 * padding) * CELL
    room = (size * wide if expand else 0) + (y.w * CELL if project else 0)
    filters = project.packed.shape[0] if project else 0
    chunks = chunked(blocks, max(1, ROOM // max(room, 1)), filters if project else 0, registers)
    most = max(chunks.size, chunks.rest)
    unroll = 1 if registers >= 32 else 2
    zeros = aligned((wide // 4,))
    r = residual or y
    offset = 64 + (size * most * wide if expand else 0)
    args = (
        stripes, y.h, stride, size, padding, x.h, x.address, x.image, x.plane, x.row,
        y.address, y.image, y.plane, y.row, r.address, r.image, r.plane, r.row,
        *expanded(expand, x, unroll), wide, most * wide, Packed(zeros),
        *apart(alone, y.w, size, stride, registers), *projected(project),
        blocks, y.w * CELL, offset,
        *chunk_numbers(chunks, expand, x.w, unroll, registers),
        *group_numbers(project, chunks, y.w, residual, residual_first, unroll, registers),
        LANES // unroll,
    )  # fmt: skip
    scratch = offset + (most * y.w * CELL if project else 0)
    return [Row("chain.rows", args, y.n * stripes, scratch=scratch)]


def chunked(blocks, most, filters, registers):
    """Return the Division into chunks, of ``most`` blocks at most, that should cost least."""
    widest = 3 if registers >= 32 else 1

    def cost(one):
        passes = one.many + (one.rest > 0)
        work = one.many * one.size / SPEED[one.filters[0]] + one.rest / SPEED[one.filters[1]]
        return work + PASS * filters * passes

    found = []
    for each in range(1, min(widest, blocks) + 1):
        for times in range(1, max(1, most // each) + 1):
            size = min(each * times, blocks // each * each)
            many, rest = divmod(blocks, size)
            last = max(one for one in range(1, each + 1) if rest % one == 0)
            found.append(Division(size, many, rest, (each, last)))
    return min(found, key=cost)


def grouped(blocks, registers):
    """Return the Division of blocks of filters into groups, each of which is one call."""
    return chunked(blocks, 1, 0, registers)


def tiling(width, filters, registers):
    """Return (cells of wide tiles, how many, narrow ones, of a cell less) that make a row."""
    tiles = -(-width // MOST[registers][filters])
    wide = -(-width // tiles)
    many = width - tiles * (wide - 1)
    return wide, many, tiles - many


def expanded(part, x, unroll):
    """Return a driver's five numbers of the first convolution."""
    if part is None:
        return (0,) * 5
    steps = min(LANES, -(-x.c // unroll) * unroll) // unroll
    return x.blocks, steps, Packed(part.packed), Packed(part.bias), part.packed.strides[0]


def apart(part, width, size, stride, registers):
    """Return a driver's eight numbers of the convolution of each channel alone."""
    cells = depthwise.tile(width, depthwise.most(registers, stride))
    tiles, rest = divmod(width, cells)

    def line(cells):
        return kernel(
            "depthwise", "line", size=size, stride=stride, dilation=1, cells=cells,
            keep=depthwise.kept(size, cells, registers), activation=part.activation,
        )  # fmt: skip

    return (
        Packed(part.packed), Packed(part.bias), part.packed.strides[0],
        line(cells), tiles, tiles * cells * CELL, line(rest) if rest else 0, int(rest > 0),
    )  # fmt: skip


def projected(part):
    """Return a driver's three numbers of the last convolution."""
    return (Packed(part.packed), Packed(part.bias), part.packed.strides[0]) if part else (0, 0, 0)


def chunk_numbers(chunks, expand, width, unroll, registers):
    """Return a driver's numbers of both kinds of chunks."""
    numbers = []
    kinds = ((chunks.size, chunks.many), (chunks.rest, int(chunks.rest > 0)))
    for (blocks, count), filters in zip(kinds, chunks.filters, strict=True):
        numbers += [blocks, count, filters]
        if expand and count:
            wide, many, narrow = tiling(width, filters, registers)
            first, last = (
                tile(filters, cells, unroll, "bias", expand.activation, "none") if n else 0
                for cells, n in ((wide, many), (wide - 1, narrow))
            )
            numbers += [first, many, last, narrow, many * wide * CELL]
        else:
            numbers += [0] * 5
    return numbers


def group_numbers(project, chunks, width, residual, residual_first, unroll, registers):
    """Return a driver's numbers of both kinds of groups of filters."""
    if project is None:
        return (0,) * 22
    groups = grouped(project.packed.shape[0], registers)
    add = "none" if residual is None else "before" if residual_first else "after"
    passes = chunks.many + (chunks.rest > 0)
    numbers = []
    kinds = ((groups.size, groups.many), (groups.rest, int(groups.rest > 0)))
    for filters, count in kinds:
        numbers += [filters, count]
        if not count:
            numbers += [0] * 9
            continue
        wide, many, narrow = tiling(width, filters, registers)
        numbers += [many, narrow, many * wide * CELL]
        for begin, activation, added in roles(project.activation, add, passes):
            numbers += [
                tile(filters, cells, unroll, begin, activation, added) if n else 0
                for cells, n in ((wide, many), (wide - 1, narrow))
            ]
    return numbers


def roles(activation, add, passes):
    """Return what the projection of the first chunk, of others and of the last one does.

    Each is what sums begin with, the activation, and how the residual is added.
    """
    if passes == 1:
        return [("bias", activation, add)] * 3
    if activation == "linear":  # then it is all the same when something is added
        return [
            ("bias", "linear", add), ("sums", "linear", "none"), ("sums", "linear", "none")
        ]  # fmt: skip
    return [("bias", "linear", "none"), ("sums", "linear", "none"), ("sums", activation, add)]


def tile(filters, cells, unroll, begin, activation, residual):
    return kernel(
        "chain", "pointwise", filters=filters, cells=cells, unroll=unroll, begin=begin,
        activation=activation, residual=residual,
    )  # fmt: skip
