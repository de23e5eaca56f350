"""Rows of a direct convolution over blocked maps: any size, stride, dilation and groups.

A tile is some blocks of filters times some cells of a row, held in registers. Tiles of a row differ
by a cell at most, so that none is small. A task is a band of rows, for some groups of blocks.
"""

from __future__ import annotations

from . import target
from .packing import aligned, pack, packed_shape
from .records import CELL, LANES, Map, Packed, Row, kernel

__all__ = ["aligned", "conv2d", "pack", "packed_shape"]

MOST = {  # cells of a tile by blocks of filters: with 2 more registers a block, all that there are
    32: {1: 26, 2: 14, 3: 9, 4: 6, 5: 5, 6: 4},
    8: {1: 6},
    4: {1: 2},
}
MONOTONE = {"linear", "leaky", "relu", "relu6", "logistic", "loggy", "tanh", "elu", "selu", "plse"}
BAND = 3 << 18  # bytes of x a task goes over for each of its groups; they stay in the second cache
WORK = 500_000  # floating point operations of the least task: some 3 microseconds
TASKS = 32  # so many tasks are enough, whatever the number of threads


def conv2d(
    x: Map, y: Map, packed, bias, *, size, stride, padding, dilation, groups, activation,
    residual: Map | None = None, residual_first=False, pool=False,
):  # fmt: skip
    """Return the rows that fill y with the activated convolution of x, whose border holds it.

    x         blocked; its border is at least ``padding``
    packed    what `packing.pack` makes of the weights
    bias      an aligned array (y.blocks * 16,) float32, or None
    stride    (y, x)
    residual  a map of y's shape, added after the activation, or before it (``residual_first``);
              not with ``pool``
    pool      y, of half the size, gets the greatest of two by two of the result, whose rows and
              columns are even
    """
    assert not (pool and residual), "a pool takes no residual"
    if bias is None:
        bias = aligned(y.blocks * LANES)
    filters = y.c // groups
    alike = 0 if filters % LANES else filters // LANES
    return [
        row(
            x, y, packed, bias, size=size, stride=stride, padding=padding, dilation=dilation,
            activation=activation, residual=residual, residual_first=residual_first, pool=pool,
            seen=packed.shape[1], filters=filters, channels=x.c // groups,
            alike=y.blocks if groups == 1 else alike,
        )
    ]  # fmt: skip


def row(
    x, y, packed, bias, *, size, stride, padding, dilation, activation, residual, residual_first,
    pool, seen, filters, channels, alike,
):  # fmt: skip
    """Return the one Row of a convolution.

    seen      blocks of x that a filter sees
    filters, channels  of a group of the convolution
    alike     blocks of filters that follow each other and see the same channels; less than 2 if
              they do not
    """
    registers = target.host().registers
    lines = 2 if pool else 1
    assert holds(x, y.h * lines, y.w * lines, size, stride, padding, dilation), "a small border"
    r = residual or y
    kinds = [
        kind(
            x, y, count, filters_, size=size, stride=stride, dilation=dilation,
            activation=activation, pool=pool,
            residual=("before" if residual_first else "after") if residual else "none",
            registers=registers,
        )
        for filters_, count in groups_of(y.blocks, y.w, registers, alike)
    ]  # fmt: skip
    groups = sum(one[1] for one in kinds)
    work = 2 * size * size * channels * y.n * y.blocks * LANES * y.h * y.w * lines * lines
    bands, shares, order = division(x, y, groups, seen, work)
    w_block = packed.strides[0]
    x_line = x.row * stride[0]
    unroll = unrolled(registers, x)
    steps = min(LANES, -(-x.c // unroll) * unroll) // unroll if x.block > 1 else 1
    args = (
        x.address - padding * (x.row + x.cell), Packed(packed), Packed(bias), y.address, r.address,
        x.image, y.image, r.image, shares, bands, groups, y.h, x_line * lines, y.row, r.row,
        y.plane, r.plane, w_block, CELL, filters, channels, x.plane, seen, x.blocks, *order, 0,
        seen, size, steps, x.plane, x_line, x.row * dilation, x.cell * dilation, w_block,
        y.plane, y.row, r.plane, r.row,
        *kinds[0], *(kinds[1] if len(kinds) > 1 else (1, 0, 0, 0, 0, 0, 0, 0)),
    )  # fmt: skip
    return Row("direct.rows", args, shares * bands * y.n)


def holds(x, height, width, size, stride, padding, dilation):
    """Return whether x and its border have all that a convolution to (height, width) reads."""
    top, left, bottom, right = x.border
    reach = dilation * (size - 1) - padding
    low, far = (height - 1) * stride[0] + reach, (width - 1) * stride[1] + reach
    return min(top, left) >= padding and low < x.h + bottom and far < x.w + right


def groups_of(blocks, width, registers, alike):
    """Return how blocks of filters are grouped: [(blocks of a group, groups)], one or two kinds."""
    if registers < 32 or alike < 2:
        return [(1, blocks)]
    if alike < blocks:
        return [(1, blocks)] if alike % 2 else [(2, blocks // 2)]
    filters = 2 if width >= 5 else min(blocks, 4 if width >= 3 else 6)
    many, rest = divmod(blocks, filters)
    if not rest:
        return [(filters, many)]
    if filters == 2:  # a group of 3 rather than one of 1
        return [(2, many - 1), (3, 1)] if many > 1 else [(3, 1)]
    return [(filters, many), (rest, 1)]


def kind(
    x, y, count, filters, *, size, stride, dilation, activation, pool, residual, registers
):  # fmt: skip
    """Return what a driver must know of groups of so many blocks: its eight numbers."""
    most = MOST[registers][filters] - (x.block == 1 and registers >= 32)  # taps unrolled take one
    if pool:
        most = max(1, most // 4)  # pairs of columns, in two rows
    tiles = -(-y.w // most)
    wide = -(-y.w // tiles)
    many = y.w - tiles * (wide - 1)  # wide ones; the others have a cell less
    pooling = "none" if not pool else "first" if activation in MONOTONE else "last"

    def tile(cells):
        return kernel(
            "correlate", "tiles", filters=filters, cells=cells * (2 if pool else 1), cell=x.cell,
            stride=stride[1], activation=activation, residual=residual, pool=pooling,
            unroll=unrolled(registers, x), taps=size if x.block == 1 else 0,
            tap=x.cell * dilation if x.block == 1 else 0,
        )  # fmt: skip

    across = many * wide * stride[1] * x.cell * (2 if pool else 1)
    narrow = tiles - many
    return (
        filters, count, tile(wide), many, tile(wide - 1) if narrow else 0, narrow,
        across, many * wide * CELL,
    )  # fmt: skip


def unrolled(registers, x):
    """Return how many channels of x a step has: as many as cause no spills."""
    if x.block == 1:
        return 1
    return 1 if registers >= 32 else 2


def division(x, y, groups, seen, work):
    """Return how a picture is divided: (bands of rows, shares of the groups, order of tasks).

    What a task goes over for each of its groups fits the second cache. If that is all of x, the
    tasks of a share follow each other, which have its weights in common, else those of a band. The
    order is (tasks from a share to the next, from a band to the next).
    """
    pieces = max(1, min(TASKS, work // WORK))
    bands = fitting = min(y.h, -(-seen * x.h * x.w * x.cell // BAND))
    shares = min(groups, -(-pieces // (bands * y.n)))
    if shares * bands * y.n < pieces:
        bands = min(y.h, -(-pieces // (shares * y.n)))
    return bands, shares, (bands, 1) if fitting == 1 else (1, shares)
