"""Convolution of planar float32 maps.

A window of one cell is a matrix product as it stands. Otherwise a channel is first copied within
its zero border and apart by phases: with stride s, cells that are s apart lie side by side, so
that each weight meets unbroken runs of cells. Groups of few channels, depthwise ones above all,
are summed from these runs; the rest is laid out in columns, a band of rows at a time, and
multiplied by BLAS.
"""

from functools import partial

import numpy as np

from .. import reference
from ..common.geometry import conv_output
from . import blas
from .jit import inline, jit
from .layout import dense, planar
from .scratch import MOST, scratch
from .threads import divide, run

__all__ = ["conv2d"]

WIDEST = 1024  # cells
FEW = 32  # channels times filters of a group up to which it is summed without BLAS
PRODUCTS, SUMS = 70_000, 8_000  # multiply-adds of a core in a microsecond, with BLAS and without


def conv2d(x, w, *, stride=(1, 1), padding=0, dilation=1, groups=1):
    """Correlate x with w over zero padding, as the reference defines it.

    Maps that are not float32 or whose pictures have gaps go to the reference, and so do windows and
    strides wider than WIDEST, for which the border or the phases would be too large.
    """
    if not (planar(x) and dense(w)) or max(w.shape[2] * dilation, *stride) > WIDEST:
        return reference.conv2d(
            x, w, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
    n, _, height, width = x.shape
    f, per, k = w.shape[:3]
    rows = conv_output(height, k, stride[0], padding, dilation)
    cols = conv_output(width, k, stride[1], padding, dilation)
    y = np.empty((n, f, rows, cols), np.float32)
    geometry = (k, *stride, padding, dilation)
    if k == 1 and stride == (1, 1) and not padding:
        convolve = multiply_cells
    elif groups > 1 and k > 1 and per * (f // groups) <= FEW:
        convolve = sum_windows
    else:
        convolve = multiply_windows
    for image in range(n):
        convolve(x[image], w.reshape(groups, f // groups, per * k * k), y[image], geometry)
    return y


def multiply_cells(x, w, y, geometry):
    """Fill y (f, h, w) with the products of w (groups, f / groups, c / groups) and x (c, h, w)."""
    groups, each, per = w.shape
    places = y.shape[1] * y.shape[2]
    cells, product = x.reshape(groups, per, places), y.reshape(groups, each, places)
    if each > places:
        parts = [(w[:, a:b], cells, product[:, a:b]) for a, b in shares(each, y.size * per)]
    else:
        parts = [(w, cells[:, :, a:b], product[:, :, a:b]) for a, b in shares(places, y.size * per)]
    with blas.one_thread():
        run(np.matmul, parts)


def multiply_windows(x, w, y, geometry):
    """Fill y (f, h', w') with the products of w (groups, f / groups, -1) and windows of x."""
    groups, each, depth = w.shape
    _, rows, cols = y.shape
    product = y.reshape(groups, each, rows * cols)
    if each > rows * cols:
        parts = [(w[:, a:b], product[:, a:b], 0, rows) for a, b in shares(each, y.size * depth)]
    else:
        parts = [(w, product, a, b) for a, b in shares(rows, y.size * depth)]
    with blas.one_thread():
        run(partial(multiply_rows, x, cols, geometry), parts)


def shares(count, products):
    """Divide range(count) among threads, where BLAS leaves that to us."""
    return divide(count, products / PRODUCTS) if blas.divisible else [(0, count)]


def multiply_rows(x, cols, geometry, w, product, top, bottom):
    """Do what multiply_windows does for the rows top..bottom of the output, some at a time."""
    k = geometry[0]
    depth = len(x) * k * k
    most = max(1, MOST // max(1, depth * cols))
    for first in range(top, bottom, most):
        count = min(most, bottom - first)
        columns = scratch(depth * count * cols).reshape(len(x), k, k, count, cols)
        lay_columns(x, columns, *geometry[1:], first)
        part = product[:, :, first * cols : (first + count) * cols]
        np.matmul(w, columns.reshape(len(w), -1, count * cols), out=part)


def sum_windows(x, w, y, geometry):
    """Fill y (f, h', w') with the sums over windows of x (c, h, w), group by group."""
    parts = divide(len(w), y.size * w.shape[2] / SUMS)
    run(partial(sum_groups, x, w, y, *geometry), parts)


@jit
def lay_columns(x, columns, down, right, padding, dilation, top):
    """Fill columns (c, k, k, rows, cols) with the windows of x (c, h, w) from output row top on."""
    k, rows, cols = columns.shape[2:]
    reach = (k - 1) * dilation
    phases = np.zeros((down, right, rows + reach // down, cols + reach // right), np.float32)
    for c in range(len(x)):
        part_phases(x[c], phases, reach, padding, top * down)
        for i in range(k):
            for j in range(k):
                high, left = i * dilation // down, j * dilation // right
                phase = phases[i * dilation % down, j * dilation % right]
                lines = columns[c, i, j]
                for row in range(rows):
                    take(lines[row], phase[high + row][left:], 1)


@jit
def sum_groups(x, w, y, k, down, right, padding, dilation, first, end):
    """Fill the filters of groups first..end of y (f, h', w'); w is (groups, f / groups, c k k).

    A whole map is summed as one run, the ends of its rows in the border included: these hold
    sums of no use, which are left out when the rows are copied to their place.
    """
    each, taps = w.shape[1], k * k
    per = w.shape[2] // taps
    rows, cols = y.shape[1:]
    reach = (k - 1) * dilation
    deep, wide = rows + reach // down, cols + reach // right
    phases = np.zeros((per, down, right, deep, wide), np.float32)
    flat = phases.reshape(per, -1)
    sums = np.empty(rows * wide, np.float32)
    starts = np.empty(taps, np.int64)
    for i in range(k):
        for j in range(k):
            phase = i * dilation % down * right + j * dilation % right
            starts[i * k + j] = (phase * deep + i * dilation // down) * wide + j * dilation // right
    run = sums[: (rows - 1) * wide + cols]
    for group in range(first, end):
        for c in range(per):
            part_phases(x[group * per + c], phases[c], reach, padding, 0)
        for filter_ in range(each):
            run[:] = 0
            for c in range(per):
                add_runs(run, flat[c], w[group, filter_, c * taps : (c + 1) * taps], starts)
            for row in range(rows):
                take(y[group * each + filter_, row], sums[row * wide :], 1)


@inline
def part_phases(x, phases, reach, padding, top):
    """Copy x (h, w) apart: phases[a, b, i, j] is the cell (top + i down + a, j right + b).

    Cells count from the corner of the border, which is left as it is; so are phases that no window
    reaches.
    """
    down, right, deep, wide = phases.shape
    for row in range(max(0, top - padding), min(len(x), top - padding + deep * down)):
        cells = x[row]
        at = row + padding - top
        if at % down > reach:
            continue
        for b in range(min(right, reach + 1)):
            first = (b - padding) % right  # cell of this phase
            to = (first + padding) // right
            count = min((len(cells) - first + right - 1) // right, wide - to)
            line = phases[at % down, b, at // down]
            take(line[to : to + count], cells[first:], right)


@inline
def take(line, cells, step):
    """Fill line with every ``step``-th of the cells."""
    if step == 1:
        for i in range(len(line)):
            line[i] = cells[i]
    elif step == 2:  # a constant: LLVM shuffles vectors for it
        for i in range(len(line)):
            line[i] = cells[2 * i]
    else:
        for i in range(len(line)):
            line[i] = cells[step * i]


@inline
def add_runs(run, cells, weights, starts):
    """Add to run each weight times the cells from its start on; three at a time."""
    taps = len(weights)
    for tap in range(0, taps - 2, 3):
        a, b, c = weights[tap], weights[tap + 1], weights[tap + 2]
        one, two, three = cells[starts[tap] :], cells[starts[tap + 1] :], cells[starts[tap + 2] :]
        for i in range(len(run)):
            run[i] += a * one[i] + b * two[i] + c * three[i]
    for tap in range(taps // 3 * 3, taps):
        a, one = weights[tap], cells[starts[tap] :]
        for i in range(len(run)):
            run[i] += a * one[i]
