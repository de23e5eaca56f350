"""Rows of what runs on bf16 maps: float32 cut to 16 bits, blocks of 32 channels, for inference.

Products are of bf16, sums float32; biases, activations and residuals are added to the sums before
they are rounded. It takes a processor with AMX ("amx") or with AVX512-BF16 ("bf16"). What copies
cells as they are takes bf16 maps too: `elementwise.add` of one map, `upsample.upsample`.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

from . import depthwise as single
from . import target
from .direct import MONOTONE, holds
from .elementwise import alike, planes, strides
from .packing import aligned
from .records import CELL, LANES, Map, Packed, Row, Shared, kernel

BLOCK = 32  # channels of a cell
TAP = 2 * BLOCK * BLOCK  # bytes of the weights of 32 channels by 32 filters
NARROW = 4  # channels of a cell of a picture; 8 such cells are as wide as one of a map
RUN = {"amx": 16, "bf16": 14}  # cells that a kernel computes at once, in a row
POOLED = {"amx": 16, "bf16": 6}  # and in each of two rows, where these are pooled
LONG = 18  # steps of a run from which on it may go over the ends of rows: storing takes longer then
STEPS = 9  # of a kernel's loop, written out
SECOND = 1 << 19  # bytes that are sure to stay in a core's second cache beside others
TASKS = 16  # of a convolution at least, where it is not tiny

ARCH_PRCTL, ASK, TILES = 158, 0x1023, 18  # Linux's x86 system call, ARCH_REQ_XCOMP_PERM, XTILEDATA


def available():
    """Return which vector code this processor runs, "amx" or "bf16", or None."""
    features = set(target.host().features.split(","))
    if not {"+avx512bf16", "+avx512bw"} <= features:
        return None
    return "amx" if {"+amx-tile", "+amx-bf16"} <= features and tiles_granted() else "bf16"


@cache
def tiles_granted():
    """Ask Linux to let this process use tiles; return whether it does.

    The permission holds for all threads, those that will begin too, and for children
    (Documentation/arch/x86/xstate.rst of Linux).
    """
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return False
    call = ctypes.CDLL(None).syscall
    call.restype, call.argtypes = ctypes.c_long, [ctypes.c_long] * 3
    return call(ARCH_PRCTL, ASK, TILES) == 0


def bf16_map(address, n, c, h, w, image, plane, row, border=(0, 0, 0, 0)):
    """Return a Map of bf16; strides are bytes."""
    return Map(address, n, c, h, w, BLOCK, image, plane, row, border, bytes=2)


def packed_shape(shape, *, planar=False):
    """Return the shape that weights (f, c, k, k) have when packed, as uint16.

    It is [group of 32 filters][block of x][k][steps][2][16 pairs of channels][16 filters][2]; a
    step is a column of 32 channels, or, if ``planar``, 8 columns of 4.

    planar  whether x is a planar float32 map, of at most 4 channels
    """
    f, c, k = shape[:3]
    blocks, steps = (1, -(-k * NARROW // BLOCK)) if planar else (-(-c // BLOCK), k)
    return -(-f // BLOCK), blocks, k, steps, 2, LANES, LANES, 2


def pack(w, packed, *, shape, planar=False):
    """Return the rows that pack weights.

    w       the address of (f, c, k, k) float32, whose shape is ``shape``
    packed  an aligned uint16 array of `packed_shape`
    """
    groups, blocks, _, steps = packed.shape[:4]
    cells = BLOCK // NARROW if planar else 0
    args = (w, Packed(packed), *shape[:3], blocks, cells, steps)
    return [Row("bf16.pack", args, groups * blocks)]


def padded(bias, filters):
    """Return biases (f,), or zeros for None, as an aligned array of whole blocks of 32."""
    whole = aligned((-(-filters // BLOCK) * BLOCK,))
    if bias is not None:
        whole[:filters] = bias[:filters]
    return whole


def conv2d(
    x: Map, y: Map, packed, bias, *, size, stride, padding, dilation, activation,
    residual: Map | None = None, residual_first=False, pool=False,
):  # fmt: skip
    """Return the rows that fill y with the activated convolution of x, whose border holds it.

    x         bf16; or planar float32 of at most 4 channels, with dilation 1
    y         bf16; or blocked float32, then without residual and pool
    packed    what `pack` makes of the weights, for this kind of x
    bias      an aligned float32 array of whole blocks of 32 (see `padded`), or None
    stride    (y, x)
    residual  a bf16 map of y's shape, added after the activation, or before it
              (``residual_first``); not with ``pool``
    pool      y, of half the size, gets the greatest of two by two of the result, whose rows and
              columns are even
    """
    files = available()
    whole = y.bytes == 4
    times = 2 if pool else 1
    most = (POOLED if pool else RUN)[files]
    height, width = y.h * times, y.w * times
    assert not (residual and (pool or whole)) and not (pool and whole), "float32 takes no more"
    assert holds(x, height, width, size, stride, padding, dilation), "a small border"
    if x.block == 1:
        assert x.c <= NARROW and dilation == 1, x
        picture, rows = interleaved(x, width, size, stride, padding)
        address, cell, steps = Shared(), 2 * NARROW, packed.shape[3]
    else:
        picture, rows = x, []
        address, cell, steps = x.address - padding * (x.row + CELL), CELL, size
    r = residual or y
    groups, blocks = packed.shape[:2]
    group = packed[0].nbytes
    bands, each = division(picture, height // times, groups, group)
    shares = -(-groups // each)
    pitch = picture.row // CELL
    least = height // times // bands * times
    length = (least - 1) * pitch + width
    turns = blocks * size * steps
    plain = files == "amx" and stride == (1, 1) and x.block > 1 and not pool
    flat = plain and turns >= LONG and -(-length // most) < least * -(-width // most)
    cells = run(length if flat else width, most, pool)
    calls = -(-length // cells) if flat else least * -(-width // cells)
    ahead = fetched(calls) if groups * group > SECOND else 0
    kind = {
        "flat": flat, "cells": cells, "step": cell * stride[1], "sides": 1 if y.c <= LANES else 2,
        "activation": activation, "whole": whole,
        "residual": "none" if residual is None else "before" if residual_first else "after",
        "pool": "none" if not pool else "first" if activation in MONOTONE else "last",
    }  # fmt: skip
    if files == "amx":
        kind |= {"rows": size, "cols": steps, "unroll": together(blocks, size * steps)}
    pairs = pool or files == "amx"
    two = kernel(files, "correlate", units=2, ahead=ahead, **kind) if pairs else 0
    one = 0 if pool else kernel(files, "correlate", units=1, ahead=0, **kind)
    none = kernel(files, "correlate", units=0, ahead=0, **kind)
    tiles = (kernel("amx", "configure", cells=cells), kernel("amx", "release"))
    args = (
        two, one, none, *(tiles if files == "amx" else (0, 0)), address, Packed(packed),
        Packed(padded(None, y.c) if bias is None else bias), y.address, r.address,
        blocks, size, steps, picture.plane, picture.row * dilation, CELL * dilation,
        y.plane if whole else 0, group, y.plane * (2 if whole else 1), r.plane,
        picture.row * stride[0], cell * stride[1], y.row, r.row, height // times, width, cells,
        times, bands, each, groups, shares, picture.image, y.image, r.image, int(pool),
        ahead * turns, int(whole and y.blocks % 2), int(flat), pitch if flat else 1 << 30,
    )  # fmt: skip
    shared = rows[0].shared if rows else 0
    scratch = 6 * RUN["amx"] * CELL
    return [*rows, Row("bf16.rows", args, shares * bands * y.n, scratch, shared)]


def depthwise_shape(shape):
    """Return the shape of the weights of `depthwise`, given theirs, (c, 1, k, k).

    Those of `single.packed_shape`, but of whole blocks of 32; `single.pack` packs them.
    """
    c, _, k, _ = shape
    return 2 * -(-c // BLOCK), k, k, LANES


def depthwise(
    x: Map, y: Map, packed, bias, *, size, stride, padding, dilation, activation,
    residual: Map | None = None, residual_first=False,
):  # fmt: skip
    """Return the rows that fill y with the activated convolution of each channel of x.

    Products are of float32, as weights are. All else is as `single.conv2d` has it, in whole blocks
    of 32.
    """
    assert x.c == y.c and min(x.border) >= padding, (x, y)
    cells = single.tile(y.w, apart(size))
    tiles, rest = divmod(y.w, cells)
    add = "none" if residual is None else "before" if residual_first else "after"
    params = {
        "size": size, "stride": stride[1], "dilation": dilation, "bias": bias is not None,
        "activation": activation, "residual": add, "sides": 1 if y.c <= LANES else 2,
    }  # fmt: skip
    main, last = (kernel("bf16", "depthwise", cells=n or cells, **params) for n in (cells, rest))
    band = single.rows_of_band(y.h, x.row * stride[0])
    bands = -(-y.h // band)
    r = residual or y
    args = (
        main, last, tiles, tiles * cells, rest, Packed(packed), 2 * size * size * CELL,
        Packed(bias) if bias is not None else 0, y.blocks, bands, band, y.h,
        x.row * dilation, x.row * stride[0], CELL * stride[1],
        x.address - padding * (x.row + CELL), x.image, x.plane,
        y.address, y.image, y.plane, y.row, r.address, r.image, r.plane, r.row, size, 2 * CELL,
    )  # fmt: skip
    return [Row("depthwise.rows", args, y.n * y.blocks * bands)]


def apart(size):
    """Return the most cells that a depthwise kernel computes at once: registers hold their sums,
    and the weights of all taps up to 3x3, else those of a row."""
    return 5 if size <= 3 else max(1, 13 - size)


def run(width, most, even):
    """Return how many cells a kernel computes at once of a row of ``width``."""
    cells = -(-width // -(-width // most))
    return cells + cells % 2 if even else cells


def together(blocks, taps):
    """Return how many blocks of x a kernel takes in one turn of its loop."""
    return max(n for n in range(1, blocks + 1) if blocks % n == 0 and (n == 1 or n * taps <= STEPS))


def fetched(runs):
    """Return how many lines a step fetches of the next group's weights, that all come in time.

    runs  of a band, which go in pairs
    """
    return min(8, -(-TAP // CELL // -(-runs // 2)))


def division(x, lines, groups, group):
    """Return (bands, groups of a task); tasks go over a band's groups, then the bands.

    What stays in the second cache is read once, be it x or all weights; else x is read once for
    each group or the weights once for each band, whichever is less.

    lines  of y, which bands divide
    group  bytes of a group's weights
    """
    weights, map = groups * group, x.blocks * x.h * x.row
    bands = -(-map // SECOND)
    if weights + map * groups < map + weights * bands:
        bands = 1
    if groups * bands < TASKS and weights <= SECOND:
        bands = -(-TASKS // groups)
    bands = min(bands, lines)
    return bands, max(1, groups * bands // (2 * TASKS))


def interleaved(x, width, size, stride, padding):
    """Return a Map of x and its padding as cells of 4 bf16, at Shared(), and the rows that fill it.

    Its rows are so long that a step of the last of ``width`` windows ends within.
    """
    h, w = x.h + 2 * padding, x.w + 2 * padding
    reach = (width - 1) * stride[1] + BLOCK // NARROW * -(-size * NARROW // BLOCK)
    vectors = -(-max(w, reach) // LANES)
    row = 2 * CELL * vectors
    picture = Map(0, x.n, x.c, h, w, NARROW, row * h, 0, row, bytes=2)
    args = (
        kernel("bf16", "interleave", channels=x.c), vectors, w, h,
        x.address - padding * (x.row + 4), *strides(x)[1:], Shared(), picture.image, row,
    )  # fmt: skip
    return picture, [Row("bf16.interleave", args, h * x.n, shared=picture.image * x.n)]


def maxpool(x: Map, y: Map, *, size, stride, padding):
    """Return the rows that fill y with the largest value of each window of size x size of x.

    stride   (y, x)
    padding  cells of both sides together
    """
    args = (
        kernel("bf16", "maximum", step=stride[1] * CELL), y.blocks, x.h, x.w, y.h, y.w, size,
        *stride, padding // 2, *strides(x), *strides(y),
    )  # fmt: skip
    return [Row("bf16.maximum", args, y.n * y.blocks * y.h)]


def add(x: Map, residual: Map, y: Map, *, activation="linear"):
    """Return the rows that fill y with the activated sum of two maps."""
    alike(x, residual, y)
    return [planes(kernel("bf16", "add", activation=activation), y, [x, residual, None, y])]


def convert(x: Map, y: Map):
    """Return the rows that fill y with x, one of which is bf16, the other blocked float32."""
    rounds = y.bytes == 2
    half, whole = (x, y) if rounds else (y, x)
    each = kernel("bf16", "rounded" if rounds else "widened")
    rows = []
    for start, count, apart in ((0, half.blocks // 2, 1), (half.blocks - 1, half.blocks % 2, 0)):
        if count:
            low, high = (
                (half.address + (start + k) * half.plane, half.image, 2 * half.plane, half.row)
                for k in (0, apart)
            )
            cells = (whole.address + start // 2 * whole.plane, *strides(whole)[1:])
            maps = [low, high, None, cells] if rounds else [cells, None, high, low]
            rows.append(planes(each, whole, maps, blocks=count))
    return rows
