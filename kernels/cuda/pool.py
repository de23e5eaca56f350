"""Pooling: the largest or the mean value of each window, of a whole channel, or over channels."""

from collections.abc import Sequence

import numpy as np

from .columns import columns
from .device import Device, Launch, Map, Scratch, ends, over, struct

__all__ = [
    "avgpool",
    "avgpool_grad",
    "local_avgpool",
    "local_avgpool_grad",
    "maxpool",
    "maxpool_depth",
    "maxpool_depth_grad",
    "maxpool_grad",
    "zero_nonmax",
    "zero_nonmax_grad",
]

FILE = "pool.cu"
UNROLLED = (2, 3)  # sizes of windows with a kernel of their own
LARGEST = 255  # a cell's index in a window is kept in 16 bits


def maxpool(
    device: Device, y: Map, x: Map, *, size: int, stride: tuple[int, int], padding: int
) -> list[Launch]:
    """y = the largest of each window of x; what is no number counts for the least."""
    sizes = _windows(x, y, size, stride, padding)
    return [_over(f"maxpool<{x.name}, {_unrolled(size)}>", y, (*ends(x, y), sizes, np.int32(y.c)))]


def maxpool_grad(
    device: Device,
    dx: Map,
    dy: Map,
    x: Map,
    y: Map,
    *,
    size: int,
    stride: tuple[int, int],
    padding: int,
) -> list[Launch]:
    """dx = dy for the first cell of each window with its largest number, found anew from x."""
    if size > LARGEST:
        raise ValueError(f"size {size}: expected at most {LARGEST} where gradients are asked for")
    sizes = _windows(x, y, size, stride, padding)
    owners = Scratch(y.pixels * y.pieces * y.piece, np.uint16)
    find = _over(f"find_owners<{x.name}, {_unrolled(size)}>", y, (*ends(x), owners, sizes))
    give = _over(f"maxpool_grad<{x.name}>", dx, (*ends(dy), owners, *ends(dx), sizes))
    return [find, give]


def local_avgpool(
    device: Device, y: Map, x: Map, *, size: int, stride: tuple[int, int], padding: int
) -> list[Launch]:
    """y = the mean of the cells in each window of x."""
    sizes = _windows(x, y, size, stride, padding)
    return [_over(f"local_avgpool<{x.name}, {_unrolled(size)}>", y, (*ends(x, y), sizes))]


def local_avgpool_grad(
    device: Device,
    dx: Map,
    dy: Map,
    *,
    shape: Sequence[int],
    size: int,
    stride: tuple[int, int],
    padding: int,
) -> list[Launch]:
    """dx = the gradient of what `local_avgpool` was given, of ``shape``."""
    sizes = _windows(dx, dy, size, stride, padding)
    return [_over(f"local_avgpool_grad<{dx.name}>", dx, (*ends(dy, dx), sizes))]


def avgpool(device: Device, y: Map, x: Map) -> list[Launch]:
    """y (n, c, 1, 1) = the mean of each channel."""
    grid = columns(device, x.h * x.w, x.pieces, x.c, parts=x.n, sums=True)
    args = (*ends(x, y), *grid.partials(x.piece), grid.sizes)
    return [Launch(FILE, f"avgpool<{x.name}>", grid.grid, grid.block, args)]


def avgpool_grad(device: Device, dx: Map, dy: Map, *, shape: Sequence[int]) -> list[Launch]:
    """dx = the gradient of what `avgpool` was given, of ``shape``."""
    return [_over(f"avgpool_grad<{dx.name}>", dx, (*ends(dy, dx), np.int32(dx.h * dx.w)))]


def zero_nonmax(device: Device, z: Map, y: Map, x: Map) -> list[Launch]:
    """z = y where it equals x, elsewhere 0."""
    return [_over(f"keep_equal<{z.name}>", z, ends(y, y, x, z))]


def zero_nonmax_grad(device: Device, dx: Map, dz: Map, y: Map, x: Map) -> list[Launch]:
    """dx = dz where y equals x, elsewhere 0."""
    return [_over(f"keep_equal<{dx.name}>", dx, ends(dz, y, x, dx))]


def maxpool_depth(device: Device, y: Map, x: Map, *, channels: int) -> list[Launch]:
    """y = for channel g the largest of the channels g, g + channels, ... of x."""
    sizes = (np.int32(x.c), np.int32(channels))
    return [_over(f"maxpool_depth<{x.name}>", y, (*ends(x, y), *sizes))]


def maxpool_depth_grad(device: Device, dx: Map, dy: Map, x: Map, y: Map) -> list[Launch]:
    """dx = dy for the first channel of each group with its largest number."""
    sizes = (np.int32(x.c), np.int32(y.c))
    return [_over(f"maxpool_depth_grad<{x.name}>", dx, (*ends(dy, x, y, dx), *sizes))]


def _over(kernel: str, y: Map, args: tuple) -> Launch:
    """Return the launch with a thread for each piece of y, how many of which end its arguments."""
    count = y.pixels * y.pieces
    return Launch(FILE, kernel, *over(count), (*args, np.int32(y.pieces), np.int32(count)))


def _unrolled(size: int) -> int:
    return size if size in UNROLLED else 0


def _windows(x: Map, y: Map, size: int, stride: tuple[int, int], padding: int) -> np.ndarray:
    """Return the struct of a map x and of its windows, whose map is y."""
    return struct(
        height=x.h,
        width=x.w,
        rows=y.h,
        columns=y.w,
        size=size,
        down=stride[0],
        right=stride[1],
        before=padding // 2,
    )
