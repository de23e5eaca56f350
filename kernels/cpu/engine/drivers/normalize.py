"""Batch normalisation, there and back: sweeps over bands of rows, and sums of what they found."""

import numba

from ....common.geometry import BATCHNORM_EPSILON, ROLLING_MOMENTUM
from .call import call, load, root, store

LANES, CELL = 16, 64
SUMS = 3 * CELL  # bytes of what a sweep finds of a band
EPSILON = float(BATCHNORM_EPSILON)
MOMENTUM = float(ROLLING_MOMENTUM)


def sweep(a, task, scratch):
    """Run a kernel of ``emit/normalize.py`` over some bands of rows of a block of a picture.

    a  [kernel, three maps, their planes, images and rows, h, w, rows a band, bands of a plane,
       bands a task, tasks over a plane, blocks, pictures, sums, whether numbers are 1 / cells, and
       the arguments of `numbers` from 23 on]; maps and sums that a kernel does not take are 0
    """
    tasks, blocks = a[18], a[19]
    span = task % tasks
    block = task // tasks % blocks
    image = task // (tasks * blocks)
    if a[22] == 0:
        numbers(a, block, scratch)
    x = a[1] + image * a[7] + block * a[4]
    y = a[2] + image * a[8] + block * a[5]
    z = a[3] + image * a[9] + block * a[6]
    sums = a[21] + (block * a[20] + image) * a[16] * SUMS
    for band in range(span * a[17], min((span + 1) * a[17], a[16])):
        top = band * a[15]
        rows = min(a[15], a[13] - top)
        if a[22]:
            store(scratch, 1.0 / (rows * a[14]))
        call(
            a[0], x + top * a[10], y + top * a[11], z + top * a[12], rows, a[14], a[10], a[11],
            a[12], scratch, sums + band * SUMS,
        )  # fmt: skip


@numba.njit(inline="always")
def numbers(a, block, to):
    """Write the numbers of a block: mean, factor, bias, along, more, less.

    a  [.., channels, cells a channel, mean, variance, scales, biases, dscales, dbiases], each of
       the last six an address or 0
    """
    for lane in range(LANES):
        c = block * LANES + lane
        at = to + lane * 4
        inside = c < a[23] and a[25] != 0
        part = 1.0 / root(load(a[26] + c * 4) + EPSILON) if inside else 0.0
        factor = load(a[27] + c * 4) * part if inside else 0.0
        store(at, load(a[25] + c * 4) if inside else 0.0)
        store(at + CELL, factor)
        store(at + 2 * CELL, load(a[28] + c * 4) if inside else 0.0)
        back = inside and a[29] != 0
        more = load(a[29] + c * 4) * part / a[24] if back else 0.0
        store(at + 3 * CELL, factor)
        store(at + 4 * CELL, factor * more)
        store(at + 5 * CELL, factor * load(a[30] + c * 4) / a[24] if back else 0.0)


def moments(a, task, scratch):
    """Write mean and variance of a channel from those of its bands, as `sweep` left them.

    a  [sums, pictures, bands of a plane, rows a band, h, w, mean, variance]
    """
    pictures, bands = a[1], a[2]
    at = a[0] + task // LANES * pictures * bands * SUMS + task % LANES * 4
    count = pictures * a[4] * a[5]
    mean = 0.0
    for i in range(pictures * bands):
        cells = min(a[3], a[4] - i % bands * a[3]) * a[5]
        mean += cells * float(load(at + i * SUMS)) + load(at + i * SUMS + CELL)
    mean /= count
    squares = 0.0
    for i in range(pictures * bands):
        cells = min(a[3], a[4] - i % bands * a[3]) * a[5]
        apart, rest = load(at + i * SUMS) - mean, float(load(at + i * SUMS + CELL))
        squares += load(at + i * SUMS + 2 * CELL) + (2 * rest + cells * apart) * apart
    store(a[6] + task * 4, mean)
    store(a[7] + task * 4, squares / max(1, count - 1))


def roll(a, task, scratch):
    """Move rolling statistics towards those of a batch.

    a  [rolling, batch, how many]
    """
    for i in range(a[2]):
        value = (1 - MOMENTUM) * load(a[0] + i * 4) + MOMENTUM * load(a[1] + i * 4)
        store(a[0] + i * 4, value)


def totals(a, task, scratch):
    """Write the gradients of a channel's scale and bias from the sums that `sweep` left.

    a  [sums, pictures, bands of a plane, variance, dscales, dbiases]; dscales may be 0
    """
    count = a[1] * a[2]
    at = a[0] + task // LANES * count * SUMS + task % LANES * 4
    alone, along = 0.0, 0.0
    for i in range(count):
        alone += load(at + i * SUMS)
    store(a[5] + task * 4, alone)
    if a[4]:
        for i in range(count):
            along += load(at + i * SUMS + CELL)
        store(a[4] + task * 4, along / root(load(a[3] + task * 4) + EPSILON))
