"""Batch normalisation, with the activation after it and a pool of 2 x 2 cells after that."""

from typing import Any

import numpy as np

from ..common.geometry import ROLLING_MOMENTUM
from .columns import columns
from .device import Device, Launch, Map, act, ends, over

__all__ = [
    "batch_statistics",
    "batchnorm",
    "batchnorm_grad",
    "finish_statistics",
    "normalize",
    "normalize_grad",
    "roll_average",
    "roll_averages",
]

FILE = "batchnorm.cu"
PAIRS = 8  # of vectors that a launch rolls


def batch_statistics(device: Device, y: tuple[Any, Any], x: Map) -> list[Launch]:
    """y = mean and variance (c,) over m - 1 of each channel."""
    grid = columns(device, x.pixels, x.pieces, x.c, sums=True)
    args = (*ends(x), *y, *grid.partials(3 * x.piece), grid.sizes)
    return [Launch(FILE, f"batch_statistics<{x.name}>", grid.grid, grid.block, args)]


def finish_statistics(
    device: Device, y: tuple[Any, Any], partials: Any, *, pixels: int, rows_per_block: int
) -> list[Launch]:
    """y = mean and variance (c,) over m - 1, from those of blocks of pixels.

    partials        (blocks, 2, c): mean and sum of squared deviations of the pixels of each block
    rows_per_block  pixels of a block; the last has what is left
    """
    c = y[0].size
    grid = columns(device, -(-pixels // rows_per_block), c, c, sums=True)
    numbers = (np.int32(pixels), np.int32(rows_per_block))
    args = (partials.reshape(-1), *y, *numbers, *grid.partials(3), grid.sizes)
    return [Launch(FILE, "finish_statistics", grid.grid, grid.block, args)]


def batchnorm(
    device: Device,
    y: Map,
    x: Map,
    scales: Any,
    biases: Any,
    mean: Any,
    variance: Any,
    activation: str = "linear",
) -> list[Launch]:
    """y = the activation of x normalised by known statistics."""
    return [_normalized(device, y, x, (scales, biases, mean, variance), activation, pool=False)]


def normalize(
    device: Device,
    y: tuple[Map, Any, Any],
    x: Map,
    *,
    scales: Any,
    biases: Any,
    activation: str,
    pool: bool,
    partials: Any = None,
    rows_per_block: int = 0,
) -> list[Launch]:
    """y = the activation of x normalised over the batch, pooled or not; mean; variance.

    pool  take the largest of each 2 x 2 cells; height and width of x are even
    partials, rows_per_block  as in `finish_statistics`, where they are known; or x is read for them
    """
    out, *statistics = y
    (mean, variance) = statistics
    vectors = (scales, biases, mean, variance)
    if partials is None:
        first = batch_statistics(device, (mean, variance), x)
    else:
        keys = {"pixels": x.pixels, "rows_per_block": rows_per_block}
        first = finish_statistics(device, (mean, variance), partials, **keys)
    return [
        *first,
        _normalized(device, out, x, vectors, activation, pool),
    ]


def _normalized(
    device: Device, y: Map, x: Map, vectors: tuple[Any, ...], activation: str, pool: bool
) -> Launch:
    """Return the launch that normalises by known statistics."""
    _check_even(x, pool)
    grid = columns(device, y.pixels, y.pieces, y.c)
    width = (np.int32(x.w),) if pool else ()
    kernel = f"{'batchnorm_pool' if pool else 'batchnorm'}<{x.name}, {act(activation)}>"
    args = (*ends(x, y), *vectors, *width, grid.sizes)
    return Launch(FILE, kernel, grid.grid, grid.block, args)


def batchnorm_grad(
    device: Device,
    y: tuple[Map, Any, Any],
    dout: Map,
    x: Map,
    scales: Any,
    mean: Any,
    variance: Any,
) -> list[Launch]:
    """y = the gradients of x, scales and biases; the slope of no activation asks for no biases."""
    keys = {"scales": scales, "biases": scales, "activation": "linear", "pool": False}
    return normalize_grad(device, y, dout, x, mean, variance, **keys)


def normalize_grad(
    device: Device,
    y: tuple[Map, Any, Any],
    dout: Map,
    x: Map,
    mean: Any,
    variance: Any,
    *,
    scales: Any,
    biases: Any,
    activation: str,
    pool: bool,
) -> list[Launch]:
    """y = the gradients of what `normalize` was given, of scales and of biases.

    The first may lie where x does.
    """
    _check_even(x, pool)
    dx, dscales, dbiases = y
    vectors = (scales, biases, mean, variance)
    template = f"<{x.name}, {act(activation)}, {str(pool).lower()}>"
    sums = columns(device, dout.pixels, dout.pieces, dout.c, sums=True)
    changes = columns(device, dout.pixels, dout.pieces, dout.c)
    width = np.int32(x.w)
    given = (*ends(dout, x), *vectors, dscales, dbiases, width)
    given = (*given, *sums.partials(2 * x.piece), sums.sizes)
    back = (*ends(dout, x, dx), *vectors, dscales, dbiases, width, np.float32(1 / x.pixels))
    return [
        Launch(FILE, f"batchnorm_sums{template}", sums.grid, sums.block, given),
        Launch(
            FILE, f"batchnorm_grad{template}", changes.grid, changes.block, (*back, changes.sizes)
        ),
    ]


def _check_even(x: Map, pool: bool) -> None:
    if pool and (x.h % 2 or x.w % 2):
        raise ValueError(f"pool=True on {x.h} x {x.w} cells: expected even numbers of them")


def roll_average(device: Device, rolling: Any, batch: Any) -> list[Launch]:
    """Move the rolling statistic a hundredth of the way towards the batch's, in place."""
    return roll_averages(device, rolling, batch)


def roll_averages(device: Device, *vectors: Any) -> list[Launch]:
    """Do so for several: rolling, batch's, rolling, batch's, ...; up to eight pairs in a launch.

    A vector that is given twice, of layers that share it, moves twice: in one launch after another.
    """
    launches: list[list[tuple[Any, Any]]] = [[]]
    for rolling, batch in zip(vectors[::2], vectors[1::2], strict=True):
        if len(launches[-1]) == PAIRS or any(one is rolling for one, _ in launches[-1]):
            launches.append([])
        launches[-1].append((rolling, batch))
    return [_rolled(pairs) for pairs in launches]


def _rolled(pairs: list[tuple[Any, Any]]) -> Launch:
    filled = pairs + [pairs[0]] * (PAIRS - len(pairs))
    args = tuple(part for rolling, batch in filled for part in (rolling, batch, _count(rolling)))
    (across,), block = over(max(rolling.size for rolling, _ in pairs))
    grid = (across, len(pairs))
    return Launch(FILE, "roll_averages", grid, block, (*args, np.float32(ROLLING_MOMENTUM)))


def _count(vector: Any) -> np.int32:
    return np.int32(vector.size)
