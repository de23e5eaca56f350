"""Rows of what runs on bf16 maps: float32 cut to 16 bits, blocks of 32 channels, for inference.

Products are of bf16, sums float32; biases, activations and residuals are added to the sums before
they are rounded. It takes a processor with AMX (`"amx"`) or with AVX512-BF16 (`"bf16"`).
"""

from __future__ import annotations

import ctypes
import platform
import sys
from functools import cache

from . import target
from .direct import aligned
from .records import LANES, Map, Packed, Row, Shared, kernel

BLOCK = 32  # channels of a cell
CELL = 64  # bytes of a cell
TAP = 2048  # bytes of the weights of 32 channels by 32 filters
NARROW = 4  # channels of a cell of a picture; 8 such cells are as wide as one of a map
RUN = {"amx": 16, "bf16": 14}  # cells that a kernel computes at once, in a row
POOLED = {"amx": 16, "bf16": 6}  # and in each of two rows, where these are pooled
SECOND = 1 << 19  # bytes that are sure to stay in a core's second cache beside others

ARCH_PRCTL, ASK, TILES = 158, 0x1023, 18  # Linux's x86 system call, ARCH_REQ_XCOMP_PERM, XTILEDATA


@cache
def available():
    """Return the name of the vector code for this processor, "amx" or "bf16", or None."""
    features = target.host().features.split(",")
    if "+avx512bf16" not in features or "+avx512bw" not in features:
        return None
    if {"+amx-tile", "+amx-bf16"} <= set(features) and tiles_granted():
        return "amx"
    return "bf16"


def tiles_granted():
    """Ask Linux to let all threads of this process use tiles; return whether it does.

    The permission is the process's, for threads that run and that will, and children inherit it
    (Documentation/arch/x86/xstate.rst of Linux).
    """
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return False
    call = ctypes.CDLL(None).syscall
    call.restype, call.argtypes = ctypes.c_long, [ctypes.c_long] * 3
    return call(ARCH_PRCTL, ASK, TILES) == 0


def packed_shape(shape, *, planar=False):
    """Return the shape of the packed weights, uint16, of weights (f, c, k, k).

    planar  whether they are for a planar float32 map of at most 4 channels
    """
    f, c, k = shape[:3]
    blocks, steps = (1, -(-k // 8)) if planar else (-(-c // BLOCK), k)
    return -(-f // BLOCK), blocks, k, steps, 2, LANES, LANES, 2


def pack(w, packed, *, shape, planar=False):
    """Return the rows that fill ``packed`` with weights of a shape at the address w, float32."""
    f, c, k = shape[:3]
    groups, blocks, _, steps = packed.shape[:4]
    cells = BLOCK // NARROW if planar else 0
    args = (w, Packed(packed), f, c, k, k, blocks, cells, steps)
    return [Row("bf16.pack", args, groups * blocks)]


def padded(bias, filters):
    """Return biases (f,), or zeros for None, as float32 of whole blocks of 32."""
    whole = aligned((-(-filters // BLOCK) * BLOCK,))
    if bias is not None:
        whole[:filters] = bias[:filters]
    return whole


def conv2d(
    x: Map,
    y: Map,
    packed,
    bias,
    *,
    size,
    stride,
    padding,
    dilation,
    activation,
    residual=None,
    residual_first=False,
    pool=False,
):
    """Return the rows that fill y with the activated convolution of x, whose border holds its
    padding.

    x         bf16, or planar float32 of at most 4 channels (then ``packed`` is for it, dilation 1)
    y         bf16, or blocked float32, without residual or pool
    bias      float32 (f,) whole blocks of 32 (see `padded`), or None
    residual  a bf16 Map as large as y, added after the activation, or before (``residual_first``)
    pool      whether y, half as high and wide, is the maximum of 2x2 cells
    """
    files = available()
    rows = []
    if x.block == 1:
        picture, rows = interleaved(x, size, stride, padding)
        address, step, taps = Shared(), 2 * NARROW, (size, -(-size // 8))
        image, plane, down, tap = picture.image, 0, picture.row, CELL
    else:
        address, step, taps = x.address - padding * (x.row + CELL), CELL, (size, size)
        image, plane, down, tap = x.image, x.plane, x.row, CELL * dilation
    twice = 2 if pool else 1
    height, width = y.h * twice, y.w * twice
    whole = y.bytes == 4
    r = residual or y
    params = {
        "step": step * stride[1],
        "activation": activation,
        "pool": pool,
        "whole": whole,
        "residual": "none" if residual is None else "before" if residual_first else "after",
    }
    cells = run(width, (POOLED if pool else RUN)[files], pool)
    groups, blocks = packed.shape[:2]
    w_group = packed[0].nbytes
    height, width = long_rows(x, y, residual, size, stride, padding, pool) or (height, width)
    cells = run(width, (POOLED if pool else RUN)[files], pool)
    pairs = pool or files == "amx"
    band, each = shares(x, height, width, cells, groups, w_group, pool)
    bands, parts = -(-height // band), -(-groups // each)
    calls = -(-band * -(-width // cells) // 2)
    steps = blocks * taps[0] * taps[1]
    ahead = min(8, -(-TAP // CELL // calls)) if pairs and groups * w_group > SECOND else 0
    if files == "amx":
        params |= {"rows": taps[0], "cols": taps[1], "unroll": together(blocks, taps)}
    two = kernel(files, "correlate", units=2, cells=cells, ahead=ahead, **params) if pairs else 0
    one = 0 if pool else kernel(files, "correlate", units=1, cells=cells, ahead=0, **params)
    configure = kernel(files, "configure", cells=cells) if files == "amx" else 0
    release = kernel(files, "release") if files == "amx" else 0
    last = int(whole and y.blocks % 2)
    args = (
        two,
        one,
        configure,
        release,
        address,
        Packed(packed),
        Packed(padded(None, groups * BLOCK) if bias is None else bias),
        y.address,
        r.address,
        blocks,
        *taps,
        plane,
        down * dilation,
        tap,
        y.plane if whole else 0,
        w_group,
        y.plane * (2 if whole else 1),
        r.plane,
        down * stride[0],
        step * stride[1],
        y.row,
        r.row,
        height,
        width,
        cells,
        band,
        bands,
        each,
        groups,
        parts,
        image,
        y.image,
        r.image,
        int(pool),
        ahead * steps,
        last,
    )
    shared = rows[0].shared if rows else 0
    return [*rows, Row("bf16.rows", args, parts * bands * y.n, 2 * 16 * 128, shared)]


def run(width, most, even):
    """Return how many cells a kernel computes of rows of ``width``."""
    cells = -(-width // -(-width // most))
    return cells + cells % 2 if even else cells


def together(blocks, taps):
    """Return how many blocks of x a kernel takes in one turn of its loop."""
    return max(n for n in range(1, blocks + 1) if blocks % n == 0 and n * taps[0] * taps[1] <= 9)


def long_rows(x, y, residual, size, stride, padding, pool):
    """Return (height, width) of longer rows where cells of all rows follow each other, or None."""
    maps = [one for one in (x, y, residual) if one]
    if size > 1 or stride != (1, 1) or padding or pool or x.block == 1:
        return None
    if any(one.row != one.w * CELL for one in maps):
        return None
    return None


def shares(x, height, width, cells, groups, w_group, pool):
    """Return (rows of a band, groups of a task)."""
    least = 2 if pool or -(-width // cells) % 2 else 1
    if groups * w_group > SECOND or height < 2 * least:
        return height, 1
    band = -(-height // 32)
    return -(-band // least) * least, groups


def interleaved(x, size, stride, padding):
    """Return a Map of cells of 4 bf16 with the border of the padding, at Shared(), and the row for
    it."""
    h, w = x.h + 2 * padding, x.w + 2 * padding
    out = (w - size) // stride[1] + 1
    vectors = -(-max(w, (out - 1) * stride[1] + 8 * -(-size // 8)) // LANES)
    row = vectors * 2 * CELL
    picture = Map(0, x.n, x.c, h, w, NARROW, row * h, 0, row, bytes=2)
    args = (
        kernel("bf16", "interleave", channels=x.c),
        x.address - padding * (x.row + 4),
        Shared(),
        w,
        vectors,
        h,
        x.image,
        x.plane,
        x.row,
        picture.image,
        row,
    )
    return picture, [Row("bf16.interleave", args, h * x.n, 0, picture.image * x.n)]


# the rest ---------------------------------------------------------------------------------


def maxpool(x: Map, y: Map, *, size, stride, padding):
    """Return the rows that fill y with maxima of windows of x; ``padding`` cells in all, half
    before."""
    args = (
        kernel("bf16", "maximum", step=stride * CELL),
        x.address,
        y.address,
        y.blocks,
        x.h,
        x.w,
        y.h,
        y.w,
        size,
        stride,
        padding // 2,
        *strides(x),
        *strides(y),
    )
    return [Row("bf16.maximum", args, y.n * y.blocks * y.h)]


def copy(x: Map, y: Map):
    """Return the rows that fill y with x."""
    return upsample(x, y, stride=1)


def upsample(x: Map, y: Map, *, stride):
    """Return the rows that fill y with each cell of x ``stride`` times ``stride`` times."""
    args = (
        kernel("bf16", "copy", times=stride),
        x.address,
        y.address,
        x.blocks,
        x.h,
        x.w,
        stride,
        *strides(x),
        *strides(y),
    )
    return [Row("bf16.copy", args, x.n * x.blocks * x.h)]


def add(x: Map, residual: Map, y: Map, *, activation):
    """Return the rows that fill y with activation(x + residual)."""
    args = (
        kernel("bf16", "add", activation=activation),
        x.address,
        residual.address,
        y.address,
        y.blocks,
        y.h,
        y.w,
        *strides(x),
        *strides(residual),
        *strides(y),
    )
    return [Row("bf16.add", args, y.n * y.blocks * y.h)]


def convert(x: Map, y: Map):
    """Return the rows that fill y with x: a blocked float32 map from a bf16 map, or the other
    way."""
    name = "rounded" if x.bytes == 4 else "widened"
    args = (
        kernel("bf16", name),
        x.address,
        y.address,
        x.blocks,
        y.blocks,
        y.h,
        y.w,
        *strides(x),
        *strides(y),
    )
    return [Row(f"bf16.{name}", args, y.n * min(x.blocks, y.blocks) * y.h)]


def strides(map):
    return map.image, map.plane, map.row
