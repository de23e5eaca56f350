"""Convolution of planar float32 maps, and its gradients.

A window of one cell is a matrix product as it stands, and windows of 3 x 3 cells become few
products in `winograd`. Groups of few channels, depthwise ones above all, are summed where their
windows lie; the rest is laid out in columns, a band of rows at a time, and multiplied by BLAS.
"""

from functools import partial

import numpy as np

from .. import reference
from ..common.geometry import conv_output
from . import blas, winograd
from .layout import dense, planar
from .scratch import MOST, scratch
from .threads import divide, run
from .windows import add_columns, lay_columns, multiply_groups, spread_groups, sum_groups

__all__ = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]

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
    if not y.size:
        return y
    geometry = (k, *stride, padding, dilation)
    if winograd.pays(y.shape, per, groups, geometry):
        winograd.convolve(x, w, y, padding)
        return y
    if k == 1 and stride == (1, 1) and not padding:
        convolve = multiply_cells
    elif sums(w.shape, groups):
        convolve = sum_windows
    else:
        convolve = multiply_windows
    convolve(x, w.reshape(groups, f // groups, per * k * k), y, geometry)
    return y


def conv2d_weight_grad(dy, x, *, size, stride=(1, 1), padding=0, dilation=1, groups=1):
    """Return the gradient of w, as the reference defines it; what goes where is as above."""
    dy = np.ascontiguousarray(dy)
    if not (dense(dy) and dy.size and planar(x)) or max(size * dilation, *stride) > WIDEST:
        numbers = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return reference.conv2d_weight_grad(dy, x, size=size, **numbers)
    shape = (dy.shape[1], x.shape[1] // groups, size, size)
    dw = np.empty(shape, np.float32)
    geometry = (size, *stride, padding, dilation)
    matrix = dw.reshape(groups, shape[0] // groups, -1)
    if winograd.pays(dy.shape, shape[1], groups, geometry):
        winograd.weight_grad(dy, x, dw, padding)
    elif sums(shape, groups):
        parts = divide(groups, dy.size * matrix.shape[2] / SUMS)
        run(partial(multiply_groups, dy, x, matrix, *geometry), parts)
    else:
        correlate(dy, x, matrix, geometry)
    return dw


def conv2d_input_grad(dy, w, *, shape, stride=(1, 1), padding=0, dilation=1, groups=1):
    """Return the gradient of x, as the reference defines it; what goes where is as above.

    At stride 1 it is a convolution with the weights turned about.
    """
    size, per = w.shape[2], len(w) // groups
    border = dilation * (size - 1) - padding
    dy = np.ascontiguousarray(dy)
    if not (dense(dy, w) and dy.size) or border < 0 or max(size * dilation, *stride) > WIDEST:
        numbers = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        return reference.conv2d_input_grad(dy, w, shape=shape, **numbers)
    dx = np.zeros(shape, np.float32)
    geometry = (size, *stride, padding, dilation)
    matrix = w.reshape(groups, per, -1)
    if winograd.pays(shape, len(w), groups, geometry):
        winograd.convolve(dy, w, dx, border, turned=True)
    elif sums(w.shape, groups):
        spread_sums(dy, matrix, dx, geometry)
    elif stride == (1, 1):
        turned = w.reshape(groups, per, *w.shape[1:]).swapaxes(1, 2)[..., ::-1, ::-1]
        turned = np.ascontiguousarray(turned).reshape(shape[1], per, size, size)
        dx = conv2d(dy, turned, padding=border, dilation=dilation, groups=groups)
    else:
        spread(dy, matrix, dx, geometry)
    return dx


def sums(shape, groups):
    """Return whether groups of weights (f, c / groups, k, k) are summed without BLAS."""
    f, per, k = shape[:3]
    return groups > 1 and k > 1 and per * (f // groups) <= FEW


def shares(count, products):
    """Divide range(count) among threads, where BLAS leaves that to us."""
    return divide(count, products / PRODUCTS) if blas.divisible else [(0, count)]


def multiply_cells(x, w, y, geometry):
    """Fill y (n, f, h, w) with products of w (groups, f / groups, c / groups) and cells of x."""
    groups, each, per = w.shape
    n, places = len(y), y.shape[2] * y.shape[3]
    cells, product = x.reshape(n, groups, per, places), y.reshape(n, groups, each, places)
    if n == 1 and each > places:
        parts = [(w[:, a:b], product[:, :, a:b], 0, places) for a, b in shares(each, y.size * per)]
    else:
        parts = [(w, product, a, b) for a, b in shares(n * places, y.size * per)]
    with blas.one_thread():
        run(partial(multiply_places, cells), parts)


def multiply_places(x, w, product, first, end):
    """Do what multiply_cells does for the places first..end, of all pictures in turn."""
    for image, a, b in pieces(first, end, x.shape[3]):
        np.matmul(w, x[image, :, :, a:b], out=product[image, :, :, a:b])


def multiply_windows(x, w, y, geometry):
    """Fill y (n, f, h', w') with the products of w (groups, f / groups, -1) and windows of x."""
    groups, each, depth = w.shape
    n, _, rows, cols = y.shape
    product = y.reshape(n, groups, each, rows * cols)
    if n == 1 and each > rows * cols:
        parts = [(w[:, a:b], product[:, :, a:b], 0, rows) for a, b in shares(each, y.size * depth)]
    else:
        parts = [(w, product, a, b) for a, b in shares(n * rows, y.size * depth)]
    with blas.one_thread():
        run(partial(multiply_rows, x, rows, geometry), parts)


def multiply_rows(x, rows, geometry, w, product, first, end):
    """Do what multiply_windows does for the rows first..end, of all pictures in turn."""
    cols = product.shape[3] // rows
    for image, top, columns in bands(x, geometry, rows, cols, len(w), first, end):
        part = product[image, :, :, top * cols :][:, :, : columns.shape[2]]
        np.matmul(w, columns, out=part)


def correlate(dy, x, dw, geometry):
    """Fill dw (groups, f / groups, -1) with the products of dy (n, f, h', w') and windows of x.

    Each thread sums rows of its own; their sums are added in the order of the threads.
    """
    n, _, rows, cols = dy.shape
    parts = shares(n * rows, dy.size * dw.shape[2])
    sums = np.zeros((len(parts), *dw.shape), np.float32)
    delta = dy.reshape(n, len(dw), -1, rows * cols)
    work = partial(correlate_rows, delta, x, rows, geometry)
    with blas.one_thread():
        run(work, [(total, *part) for total, part in zip(sums, parts, strict=True)])
    sums.sum(0, out=dw)


def correlate_rows(dy, x, rows, geometry, dw, first, end):
    """Add to dw what the rows first..end give, of all pictures in turn."""
    cols = dy.shape[3] // rows
    product = np.empty_like(dw)
    for image, top, columns in bands(x, geometry, rows, cols, len(dw), first, end):
        part = dy[image, :, :, top * cols :][:, :, : columns.shape[2]]
        np.matmul(part, columns.swapaxes(1, 2), out=product)
        dw += product


def spread(dy, w, dx, geometry):
    """Add to dx (n, c, h, w) the windows that w (groups, f / groups, -1) and dy give."""
    groups, each, depth = w.shape
    taps = geometry[0] * geometry[0]
    delta = dy.reshape(len(dy), groups, each, -1)
    turned = w.swapaxes(1, 2)
    if groups == 1:
        ends = shares(depth // taps, dy.size * depth)
        parts = [(delta, turned[:, a * taps : b * taps], dx[:, a:b]) for a, b in ends]
    else:
        per = depth // taps
        ends = shares(groups, dy.size * depth)
        parts = [(delta[:, a:b], turned[a:b], dx[:, a * per : b * per]) for a, b in ends]
    with blas.one_thread():
        run(partial(spread_windows, dy.shape[3], geometry), parts)


def spread_windows(cols, geometry, dy, w, dx):
    """Do what `spread` does with dy (n, groups, f / groups, places) and w turned about."""
    k = geometry[0]
    rows, channels = dy.shape[3] // cols, dx.shape[1]
    most = max(1, MOST // max(1, channels * k * k * cols))
    for image in range(len(dx)):
        for top in range(0, rows, most):
            count = min(most, rows - top)
            columns = scratch(channels * k * k * count * cols)
            part = dy[image, :, :, top * cols : (top + count) * cols]
            np.matmul(w, part, out=columns.reshape(len(w), -1, count * cols))
            add_columns(dx[image], columns.reshape(channels, k, k, count, cols), *geometry[1:], top)


def bands(x, geometry, rows, cols, groups, first, end):
    """Yield (picture, top, columns) for bands of the rows first..end, of all pictures in turn.

    columns  (groups, -1, count * cols), the windows of the rows from top on; the next overwrite
             them. Of windows of one cell at stride 1 they are the cells as they lie.
    """
    n, c = x.shape[:2]
    k = geometry[0]
    if geometry[:4] == (1, 1, 1, 0):
        cells = x.reshape(n, groups, -1, rows * cols)
        for image, top, bottom in pieces(first, end, rows):
            yield image, top, cells[image, :, :, top * cols : bottom * cols]
        return
    most = max(1, MOST // max(1, c * k * k * cols))
    for image, begin, bottom in pieces(first, end, rows):
        for top in range(begin, bottom, most):
            count = min(most, bottom - top)
            columns = scratch(c * k * k * count * cols).reshape(c, k, k, count, cols)
            lay_columns(x[image], columns, *geometry[1:], top)
            yield image, top, columns.reshape(groups, -1, count * cols)


def pieces(first, end, each):
    """Yield (picture, from, to) for the lines first..end, where each picture has ``each``."""
    for image in range(first // each, -(-end // each)):
        yield image, max(0, first - image * each), min(each, end - image * each)


def sum_windows(x, w, y, geometry):
    """Fill y (n, f, h', w') with the sums over windows of x (n, c, h, w), group by group."""
    parts = divide(len(x) * len(w), y.size * w.shape[2] / SUMS)
    run(partial(sum_groups, x, w, y, *geometry), parts)


def spread_sums(dy, w, dx, geometry):
    """Fill dx (n, c, h, w) with what w (groups, f / groups, -1) and dy (n, f, h', w') give."""
    parts = divide(len(dx) * len(w), dy.size * w.shape[2] / SUMS)
    run(partial(spread_groups, dy, w, dx, *geometry), parts)
