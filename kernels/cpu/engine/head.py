"""Rows of detection heads: from the map of the last convolution to the activated planar map.

What the entries are and become: kernels/reference/yolo.py.
"""

from __future__ import annotations

import numpy as np

from . import layout
from .elementwise import kind, planes
from .packing import aligned
from .records import CELL, LANES, Map, Packed, Row, kernel

LOGISTIC, SCALE, SHIFT = range(3)


def yolo(x: Map, y: Map, *, classes, scale_x_y=1.0, new_coords=False):
    """Return the rows that fill the planar map y with the activated map of a [yolo].

    x  (n, a * (5 + classes), h, w), blocked or planar
    """
    entries = np.zeros((5 + classes, 3), np.float32)
    entries[:, SCALE] = 1
    if not new_coords:
        entries[[0, 1, *range(4, 5 + classes)], LOGISTIC] = 1
    entries[:2, SCALE], entries[:2, SHIFT] = stretch(scale_x_y)
    return decode(x, y, entries)


def gaussian_yolo(x: Map, y: Map, *, classes, scale_x_y=1.0):
    """Return the rows that fill the planar map y with the activated map of a [Gaussian_yolo].

    x  (n, a * (9 + classes), h, w), blocked or planar
    """
    entries = np.zeros((9 + classes, 3), np.float32)
    entries[:, SCALE] = 1
    entries[[0, 1, 2, 3, 5, *range(7, 9 + classes)], LOGISTIC] = 1
    entries[0:3:2, SCALE], entries[0:3:2, SHIFT] = stretch(scale_x_y)
    return decode(x, y, entries)


def stretch(scale):
    return scale, -0.5 * (scale - 1)


def decode(x, y, entries):
    """Return the rows that do to each channel what its entry, (logistic, scale, shift), says."""
    assert (x.n, x.c, x.h, x.w) == (y.n, y.c, y.h, y.w) and y.block == 1, (x, y)
    assert x.c % len(entries) == 0, (x.c, len(entries))
    table = np.tile(entries, (x.c // len(entries), 1))
    if x.block == 1:
        rows = kind(y)
        each = kernel("head", "planar", whole=rows["whole"], rest=rows["rest"])
        numbers = aligned(table.shape)
        numbers[...] = table
        return [planes(each, y, [x, (Packed(numbers), 0, 12, 0), None, y])]
    lanes = aligned((x.blocks, LANES, 3))
    lanes.reshape(-1, 3)[: x.c] = table
    numbers = aligned((x.blocks, 3, LANES))
    numbers[...] = lanes.transpose(0, 2, 1)
    return layout.turn("to_planar", x, y, y.plane, numbers, decoded=True)


def softmax(y: Map, *, counts, temperature=1.0):
    """Return the rows that do softmax in place: kernels/reference/softmax.py.

    y       planar and without gaps
    counts  lengths of the runs of each picture's values that make a softmax each
    """
    assert y.block == 1 and (y.row, y.plane) == (4 * y.w, 4 * y.w * y.h), y
    runs, scratch = lengths(counts)
    each = kernel("head", "softmax", temperature=repr(float(temperature)))
    return [Row("head.softmax", (each, y.address, y.image, len(counts), runs), y.n, scratch)]


def lengths(counts):
    """Return what a driver needs of runs: their lengths, and bytes of scratch for one."""
    runs = aligned((max(1, len(counts)),), np.int64)
    runs[: len(counts)] = counts
    return Packed(runs), CELL * -(-max(counts, default=1) // LANES)


def region(x: Map, y: Map, *, classes, counts=()):
    """Return the rows that fill y with the output of a [region].

    x       (n, a * (5 + classes), h, w), blocked or planar
    y       planar and without gaps; each picture's values are in the order (h, w, a, 5 + classes)
    counts  lengths of the runs of classes that make a softmax each
    """
    assert y.block == 1 and (y.row, y.plane) == (4 * y.w, 4 * y.w * y.h), y
    assert sum(counts) <= classes and x.c % (5 + classes) == 0, (x.c, classes, counts)
    runs, scratch = lengths(counts)
    logistic = kernel(
        "elementwise", "add", maps=1, activation="logistic", align=64, whole=True, rest=0
    )
    args = (
        logistic, kernel("head", "softmax", temperature="1.0"),
        x.address, x.image, x.plane, x.row, x.block,
        y.address, y.image, x.h, x.w, x.c // (5 + classes), classes, len(counts), runs,
    )  # fmt: skip
    return [Row("head.region", args, x.n * x.h, scratch=scratch)]
