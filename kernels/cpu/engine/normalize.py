"""Rows of batch normalisation and of biases over blocked maps, there and back.

Statistics, scales, biases and their gradients are addresses of float32 (c,), as in a .weights file.
Sums are of a band of a few hundred cells in float32, and of bands in double precision, in an order
that depends on the map's shape alone.
"""

from __future__ import annotations

from .records import CELL, Map, Row, Shared, kernel

BAND = 256  # cells of a band, at least; both passes over it find it in the nearest cache
TASK = 2048  # cells of a task, about
NUMBERS = 6 * CELL
SUMS = 3 * CELL


def statistics(y: Map, mean: int, variance: int):
    """Return the rows that fill the mean and the variance (over m - 1) of each channel of y."""
    sums = Shared()
    args, tasks, shared = sweep("moments", [y], sums=sums, share=1)
    rows, bands = division(y)
    last = (sums, y.n, bands, rows, y.h, y.w, mean, variance)
    return [
        Row("normalize.sweep", args, tasks, scratch=NUMBERS, shared=shared),
        Row("normalize.moments", last, y.c, shared=shared),
    ]


def normalize(y: Map, out: Map, mean, variance, scales, biases, *, activation):
    """Return the rows that fill out with the activated, normalised y; out may be y."""
    numbers = (mean, variance, scales, biases, 0, 0)
    args, tasks, _ = sweep("normalize", [y, out], numbers=numbers, activation=activation)
    return [Row("normalize.sweep", args, tasks, scratch=NUMBERS)]


def normalize_grad(
    dout: Map, y: Map, dy: Map, mean, variance, scales, biases, dscales, dbiases, *, activation
):
    """Return the rows that fill dy, dscales and dbiases; dout is the gradient of `normalize`'s out.

    What went into the activation is computed from y anew, twice. dy may be dout. As the reference
    has it, the way back takes the variance for a mean over m.
    """
    sums = Shared()
    known = (mean, variance, scales, biases)
    first, tasks, shared = sweep(
        "slope_sums", [dout, y], sums=sums, numbers=(*known, 0, 0), activation=activation
    )
    last, _, _ = sweep(
        "differentiate", [dout, y, dy], numbers=(*known, dscales, dbiases), activation=activation
    )
    total = (sums, y.n, division(y)[1], variance, dscales, dbiases)
    return [
        Row("normalize.sweep", first, tasks, scratch=NUMBERS, shared=shared),
        Row("normalize.totals", total, y.c, shared=shared),
        Row("normalize.sweep", last, tasks, scratch=NUMBERS, shared=shared),
    ]


def bias_grad(dout: Map, z: Map | None, dz: Map | None, dbiases, *, activation):
    """Return the rows that fill dbiases, and dz with dout times the activation's slope at z.

    z is what went into the activation, the bias with it; for "linear" neither z nor dz is needed.
    dz may be dout.
    """
    sums = Shared()
    maps = [dout] if activation == "linear" else [dout, z, dz]
    args, tasks, shared = sweep("bias_sums", maps, sums=sums, activation=activation)
    total = (sums, dout.n, division(dout)[1], 0, 0, dbiases)
    return [
        Row("normalize.sweep", args, tasks, scratch=NUMBERS, shared=shared),
        Row("normalize.totals", total, dout.c, shared=shared),
    ]


def sweep(name, maps, *, sums=0, share=0, numbers=(0, 0, 0, 0, 0, 0), **params):
    """Return a sweep's arguments over maps of one shape, its tasks and bytes of shared memory."""
    one = maps[0]
    places = [
        getattr(each, of) for of in ("address", "plane", "image", "row") for each in pad(maps)
    ]
    rows, bands = division(one)
    each = max(1, TASK // (rows * one.w))
    tasks = -(-bands // each)
    args = (
        kernel("normalize", name, **params), *places, one.h, one.w, rows, bands, each, tasks,
        one.blocks, one.n, sums, share, one.c, one.n * one.h * one.w, *numbers,
    )  # fmt: skip
    return args, one.n * one.blocks * tasks, one.n * one.blocks * bands * SUMS


def pad(maps):
    """Return three maps, the last of them repeated."""
    return [*maps, *[maps[-1]] * (3 - len(maps))]


def division(y):
    """Return (rows a band, bands of a plane)."""
    rows = min(y.h, -(-BAND // y.w))
    return rows, -(-y.h // rows)
