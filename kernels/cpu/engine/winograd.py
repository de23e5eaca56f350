"""Rows of a convolution with windows of 3 x 3 cells at stride 1 or 2, by Winograd's way.

F(m x m, 3 x 3), m = 2..6, 2 and 3 at stride 2: see emit/winograd.py. A task transforms a block of
tiles, multiplies it with the filters, and transforms the products back, all in its thread's
scratch; or, where filters are shared out among tasks, a first row of tasks transforms all tiles
into memory that threads share, and a second row does the rest. How many tiles, and which m, is a
matter of what the weights cost: m * m cells of y take s^2 products instead of 9 m * m, with s^2 / 9
times the weights; s is m + 2, and 2 m + 1 at stride 2.

The largest errors of y, of the largest of y, against float64, with 16..512 channels drawn from
N(0, 1): m = 2 1e-7..7e-7, 3 1e-6..5e-6, 4 7e-7..2e-6, 5 4e-6..1e-5, 6 5e-6..2e-5.
"""

from __future__ import annotations

import numpy as np

from . import target
from .direct import MONOTONE
from .records import CELL, LANES, Map, Packed, Row, Shared, kernel
from .team import aligned

CHEAP = {"linear", "leaky", "relu"}  # need few registers themselves
GROUP = {32: 2, 8: 1, 4: 1}  # blocks of filters that are multiplied at once
MOST = {32: 13, 8: 6, 4: 2}  # tiles that are: with 14 the same takes 8 % longer
UNROLL = {32: 4, 8: 4, 4: 1}  # channels a step; more make LLVM spill
AHEAD = 2048  # bytes of weights fetched early
LINES = 24 * 1024  # bytes of cells between the two halves of a transform
NEAR = 512 * 1024  # bytes of transformed tiles that stay beside the weights in the second cache

# What things take, in nanoseconds, fitted to times of 1200 layers and options on a core with two
# units of 512 bits at 3 GHz; only how they compare decides
PRODUCT = {32: 0.17, 8: 0.4, 4: 1.5}  # a Vector times a number, added
START = 54.0  # a place's products of one round, beside them
LONE = 180.0  # a call for one place, where groups of filters are multiplied together
# A Vector of a tile transformed, and back, by stride and m
INTO = {1: {2: 2.4, 3: 3.8, 4: 4.5, 5: 7.0, 6: 8.5}, 2: {2: 2.3, 3: 2.4}}
FIRST, AGAIN = 0.048, 0.0095  # a byte of weights: from memory, for each thread, and in each task
FAR = 8 << 20  # bytes of weights that come from memory once more in each task but the first
CACHE = 1 << 18  # bytes of the tiles of a task that are near; what is more
SPILLED = 0.014  # costs so much a byte, each time it is read
WIDE = 0.155  # a byte beyond `NEAR` of a task's transformed tiles
FOREIGN = 0.073  # a byte of tiles that other threads transform too
BEYOND_CACHES = 4 << 20  # bytes of weights that are not in a cache when they are multiplied
SLACK = 1.02  # times the least cost that a smaller m may have, for it keeps fewer weights
DIRECT = 1.3  # times as long as here a product takes in direct convolution


def side(m, stride):
    """Return s, the cells of x in a row of a tile, and its places: those of m cells of y."""
    return m + 2 if stride == 1 else 2 * m + 1


def packed_shape(w_shape, m, stride=1):
    """Return the shape of weights (f, c, 3, 3) transformed: (places, blocks of f, channels, 16).

    Memory has [group][place][channel][filter block of the group][16].
    """
    f, c = w_shape[:2]
    return side(m, stride) ** 2, -(-f // LANES), -(-c // LANES) * LANES, LANES


def pack(w, w_shape, packed, *, m, stride=1, turned=False):
    """Return the rows that transform weights.

    w        the address of (f, c, 3, 3) float32, as in a .weights file, or a `records.Packed`
    packed   an aligned float32 array of `packed_shape`
    turned   for the data gradient: windows turned about, filters and channels exchanged;
             ``packed`` then has `packed_shape` of (c, f, 3, 3)
    """
    f, c = w_shape[:2]
    steps = c * 36, 36
    if turned:
        f, c, steps = c, f, steps[::-1]
    blocks, depth = -(-f // LANES), -(-c // LANES) * LANES
    each = min(depth, 8 * LANES)
    shares = -(-depth // each)
    past = packed.nbytes > BEYOND_CACHES
    code = kernel("winograd", "transform_weights", m=m, stride=stride, turned=turned, past=past)
    args = (
        code, w, Packed(packed), f, c, depth, *steps, GROUP[target.host().registers],
        side(m, stride) ** 2, each, shares, blocks,
    )  # fmt: skip
    return [Row("winograd.weights", args, blocks * shares)]


def conv2d(
    x: Map, y: Map, packed, bias, *, m, tiles, shares=1, stride=1, activation,
    residual: Map | None = None, residual_first=False, pool=False,
):  # fmt: skip
    """Return the rows that fill y with the activated convolution of x, whose border is 1 or wider.

    stride    1 or 2
    packed    what `pack` makes of the weights
    bias      an aligned array (y.blocks * 16,) float32, or None
    m, tiles, shares  as `choose` and `candidates` give them: see there
    residual  a map of y's shape, added after the activation, or before it (``residual_first``);
              not with ``pool``
    pool      y, of half the size, gets the greatest of two by two of the result, whose rows and
              columns are even; m is even
    """
    assert not (pool and (residual or m % 2)), "a pool takes no residual, and an even m"
    registers = target.host().registers
    cut = Cut((x.n, x.c, x.h, x.w), y.c, m, tiles, registers, stride)
    s, step = side(m, stride), m * stride
    reach = max(1, LINES // (step * s * CELL))
    lines = ((reach - 1) * step + s) * s * CELL
    if bias is None:
        bias = aligned(y.blocks * LANES, np.float32)
    r = residual or y
    main, last = cut.kernels()
    restore = kernel(
        "winograd", "restore_cells", m=m, stride=stride, activation=activation,
        residual=("before" if residual_first else "after") if residual else "none",
        pool="none" if not pool else "first" if activation in MONOTONE else "last",
        held=registers >= 32 and activation in CHEAP,
    )  # fmt: skip

    apart = shares > 1  # tiles are transformed before, into memory that threads share

    def row(steps, v, each, shares):
        args = (
            kernel("winograd", "transform_cells", m=m, stride=stride), main, last, restore, steps,
            v, x.address - x.row - CELL, Packed(packed), Packed(bias), y.address, r.address,
            m, cut.size, cut.total, cut.lines * cut.columns, cut.columns, x.h, x.w, x.blocks,
            y.blocks, x.image, x.plane, x.row, y.image, y.plane, y.row, r.image, r.plane, r.row,
            cut.v_block, cut.v_plane, cut.v_bytes, cut.out_plane, cut.group, cut.together, each,
            shares, reach, int(pool), lines, cut.h, cut.w, step, s,
        )  # fmt: skip
        scratch = lines + cut.out_bytes + (0 if apart else cut.v_bytes)
        shared = cut.blocks * cut.v_bytes if apart else 0
        return Row("winograd.tiles", args, cut.blocks * shares, scratch, shared)

    each = -(-cut.groups // shares)
    if apart:
        return [row(1, Shared(), 1, x.blocks), row(2, Shared(), each, -(-cut.groups // each))]
    return [row(3, 0, each, 1)]


class Cut:
    """How the tiles of a convolution are cut into blocks, and where their transforms lie.

    shape  of x (n, c, h, w)
    """

    def __init__(self, shape, filters, m, tiles, registers, stride=1):
        n, c, h, w = shape
        self.places = side(m, stride) ** 2
        self.h, self.w = -(-h // stride), -(-w // stride)  # of the convolution
        self.lines, self.columns = -(-self.h // m), -(-self.w // m)
        self.total = n * self.lines * self.columns
        self.size = min(tiles, self.total)
        self.blocks = -(-self.total // self.size)
        self.unroll = UNROLL[registers]
        rounds = -(-self.size // MOST[registers])
        self.cells = -(-self.size // rounds)
        self.rounds = -(-self.size // self.cells)
        self.depth, self.filters = -(-c // LANES), -(-filters // LANES)
        self.group = GROUP[registers]
        self.groups = -(-self.filters // self.group)
        self.v_block = self.size * CELL
        self.v_plane = (self.depth * self.size | 1) * CELL  # odd, so that places do not collide
        self.v_bytes = self.places * self.v_plane
        self.together = 4 if self.v_bytes > NEAR else 1
        self.out_plane = (self.group * self.size | 1) * CELL
        self.out_bytes = self.together * self.places * self.out_plane

    def kernels(self):
        """Return the products' vector code: of a whole group of filters, and of the last one."""

        def products(filters):
            fetch = -(-self.unroll * filters // self.rounds)
            return kernel(
                "winograd", "multiply", filters=filters, cells=self.cells, unroll=self.unroll,
                ahead=AHEAD, fetch=fetch,
            )  # fmt: skip

        return products(self.group), products(self.filters % self.group or self.group)


def choose(x, filters, threads, strict=False, pool=False, stride=1, largest=6):
    """Return the options of `conv2d` that should cost least, or hardly more with fewer weights.

    x        shape (n, c, h, w)
    strict   keep to m = 2, which is no less exact than the direct sum
    largest  m that is allowed
    returns  {"m", "tiles", "shares", "stride"}
    """
    costs = [
        (cost(x, filters, threads, **one), one)
        for one in candidates(x, filters, threads, strict, pool, stride, largest)
    ]
    most = SLACK * min(costs, key=lambda pair: pair[0])[0]
    good = [pair for pair in costs if pair[0] <= most]
    return min(good, key=lambda pair: (pair[1]["m"], pair[0]))[1]


def candidates(x, filters, threads, strict=False, pool=False, stride=1, largest=6):
    """Return the options of `conv2d` worth trying, as `choose` does.

    tiles    of a block; blocks that are multiplied in 1, 2, 4, .. rounds
    shares   1: tasks are blocks; threads: tasks are a block and a share of the filters, and tiles
             are transformed before, into memory of all
    """
    found = []
    n, _, h, w = x
    most = MOST[target.host().registers]
    sizes = (2, 3, 4, 5, 6) if stride == 1 else (2, 3)
    sizes = [one for one in sizes if one <= largest and not (pool and one % 2)]
    for m in (2,) if strict else sizes:
        total = n * -(-h // stride // m) * -(-w // stride // m)
        for rounds in (1, 2, 4, 8):
            blocks = -(-total // (most * rounds))
            level = -(-blocks // threads) * threads
            cuts = [(-(-total // count), 1) for count in (blocks, level)]
            if threads > 1:
                cuts.append((-(-total // blocks), threads))
            found += [{"m": m, "tiles": tiles, "shares": shares} for tiles, shares in cuts]
    return [
        one | {"stride": stride} for one in {tuple(one.values()): one for one in found}.values()
    ]


def direct_cost(x, filters, threads, *, stride):
    """Return about how many microseconds direct convolution takes, with windows of 3 x 3 cells."""
    n, c, h, w = x
    products = 9 * n * c * -(-filters // LANES) * -(-h // stride) * -(-w // stride)
    return products * PRODUCT[target.host().registers] * DIRECT / threads / 1000


def cost(x, filters, threads, *, m, tiles, shares, stride=1):
    """Return about how many microseconds `conv2d` takes.

    x        shape (n, c, h, w)
    """
    registers = target.host().registers
    cut = Cut(x, filters, m, tiles, registers, stride)
    mine = -(-cut.groups // shares) * cut.group  # blocks of filters of a task
    rounds, slots = cut.rounds * cut.places, cut.rounds * cut.cells * cut.places
    task = cut.depth * LANES * slots * mine * PRODUCT[registers]
    task += mine // cut.group * (rounds * START + (cut.together > 1) * cut.places * LONE)
    task += cut.size * cut.places * cut.depth / shares * INTO[stride][m]
    task += max(0, cut.v_bytes - NEAR) / shares * WIDE
    weights = mine * cut.depth * LANES * CELL * cut.places
    passes = -(-mine // (cut.group * cut.together))
    task += weights * AGAIN
    task += passes * max(0, cut.v_bytes + cut.out_bytes - CACHE) * SPILLED
    task += (shares > 1) * cut.v_bytes * FOREIGN
    tasks = -(-cut.blocks * shares // threads)  # of the busiest thread
    reads = weights * FIRST
    if weights > FAR:
        reads += (tasks - 1) * weights * FIRST / 2
    return (tasks * task + reads) / 1000
