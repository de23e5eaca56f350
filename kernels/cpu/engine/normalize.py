"""Rows of batch normalisation and of biases over blocked maps, there and back.

Statistics, scales, biases and their gradients are addresses of float32 (c,), as in a .weights file.
Sums are of a band of a few hundred cells in float32, and of bands in double precision, in an order
that depends on the map's shape alone.
"""

from __future__ import annotations

from dataclasses import replace

from .direct import MONOTONE
from .records import CELL, Map, Row, Shared, kernel

BAND = 256  # cells of a band, at least; both passes over it find it in the nearest cache
TASK = 2048  # cells of a task, about
NUMBERS = 6 * CELL
SUMS = 3 * CELL


def statistics(y: Map, mean: int, variance: int):
    """Return the rows that fill the mean and the variance (over m - 1) of each channel of y."""
    sums = Shared()
    args, tasks, shared = sweep(kernel("normalize", "moments"), [y], sums=sums, share=1)
    rows, bands = division(y)
    last = (sums, y.n, bands, rows, y.h, y.w, mean, variance)
    return [
        Row("normalize.sweep", args, tasks, scratch=NUMBERS, shared=shared),
        Row("normalize.moments", last, y.c, shared=shared),
    ]


def roll_average(rolling: int, batch: int, count: int):
    """Return the row that moves ``count`` rolling statistics towards a batch's, as darknet does."""
    return [Row("normalize.roll", (rolling, batch, count), 1)]


def normalize(y: Map, out: Map, mean, variance, scales, biases, *, activation, pool=False):
    """Return the rows that fill out with the activated, normalised y; out may be y.

    pool  out, of half the size, gets the largest of each 2 x 2 cells; rows and columns of y are
          even
    """
    numbers = (mean, variance, scales, biases, 0, 0)
    args, tasks, _ = sweep(*pooling("normalize", activation, pool, y, out), numbers=numbers)
    return [Row("normalize.sweep", args, tasks, scratch=NUMBERS)]


def normalize_grad(
    dout: Map, y: Map, dy: Map, mean, variance, scales, biases, dscales, dbiases, *, activation,
    pool=False,
):  # fmt: skip
    """Return the rows that fill dy, dscales and dbiases; dout is the gradient of `normalize`'s out.

    What went into the activation is computed from y anew, twice. dy may be y, or dout if that is
    not pooled. As the reference has it, the way back takes the variance for a mean over m.
    """
    sums = Shared()
    known = (mean, variance, scales, biases)
    first = pooling("slope_sums", activation, pool, y, dout)
    last = pooling("differentiate", activation, pool, y, dout, dy)
    args, tasks, shared = sweep(*first, sums=sums, numbers=(*known, 0, 0))
    rest, _, _ = sweep(*last, numbers=(*known, dscales, dbiases))
    total = (sums, y.n, division(dout)[1], variance, dscales, dbiases)
    return [
        Row("normalize.sweep", args, tasks, scratch=NUMBERS, shared=shared),
        Row("normalize.totals", total, y.c, shared=shared),
        Row("normalize.sweep", rest, tasks, scratch=NUMBERS, shared=shared),
    ]


def pooling(name, activation, pool, y, other, *rest):
    """Return a kernel, and its maps: y and another one, pooled or not, and what follows them."""
    back = name != "normalize"
    maps = [other, y] if back else [y, other]
    if not pool:
        return kernel("normalize", name, activation=activation), [*maps, *rest], 1
    maps = [one if one is other else halved(one) for one in [*maps, *rest]]
    params = {"activation": activation, "monotone": activation in MONOTONE}
    return kernel("normalize", f"{name}_pooled", **params), maps, 4


def halved(y):
    """Return a map of which two rows are taken for one, and two columns."""
    assert y.h % 2 == y.w % 2 == 0, y
    return replace(y, h=y.h // 2, w=y.w // 2, row=2 * y.row)


def bias_grad(dout: Map, z: Map | None, dz: Map | None, dbiases, *, activation):
    """Return the rows that fill dbiases, and dz with dout times the activation's slope at z.

    z is what went into the activation, the bias with it; for "linear" neither z nor dz is needed.
    dz may be dout.
    """
    sums = Shared()
    maps = [dout] if activation == "linear" else [dout, z, dz]
    code = kernel("normalize", "bias_sums", activation=activation)
    args, tasks, shared = sweep(code, maps, sums=sums)
    total = (sums, dout.n, division(dout)[1], 0, 0, dbiases)
    return [
        Row("normalize.sweep", args, tasks, scratch=NUMBERS, shared=shared),
        Row("normalize.totals", total, dout.c, shared=shared),
    ]


def sweep(code, maps, times=1, *, sums=0, share=0, numbers=(0, 0, 0, 0, 0, 0)):
    """Return a sweep's arguments over maps of one shape, its tasks and bytes of shared memory.

    times  cells that each cell of the maps stands for
    """
    one = maps[0]
    places = [
        getattr(each, of) for of in ("address", "plane", "image", "row") for each in pad(maps)
    ]
    rows, bands = division(one)
    each = max(1, TASK // (rows * one.w * times))
    tasks = -(-bands // each)
    args = (
        code, *places, one.h, one.w, rows, bands, each, tasks, one.blocks, one.n, sums, share,
        one.c, one.n * one.h * one.w * times, *numbers,
    )  # fmt: skip
    return args, one.n * one.blocks * tasks, one.n * one.blocks * bands * SUMS


def pad(maps):
    """Return three maps, the last of them repeated."""
    return [*maps, *[maps[-1]] * (3 - len(maps))]


def division(y):
    """Return (rows a band, bands of a plane)."""
    rows = min(y.h, -(-BAND // y.w))
    return rows, -(-y.h // rows)
