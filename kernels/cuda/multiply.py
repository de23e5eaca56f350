"""Products of two maps, one of which may stand for all channels or for all cells."""

import numpy as np

from .columns import columns
from .device import Device, Launch, Map, act, ends, over, struct
from .lanes import lanes, over_pixels

__all__ = ["multiply", "multiply_grad"]

FILE = "multiply.cu"


def multiply(device: Device, z: Map, x: Map, y: Map, activation: str = "linear") -> list[Launch]:
    """z = the activation of x y; an axis of length 1 stands for all of the other's.

    So do x and y alike: one cell (n, c, 1, 1), one channel (n, 1, h, w), or one picture.
    """
    count = z.pixels * z.pieces
    factors = (x.array, _steps(x, z), y.array, _steps(y, z))
    sizes = map(np.int32, (z.h * z.w, z.c, z.pieces, count))
    kernel = f"multiply<{z.name}, {act(activation)}>"
    return [Launch(FILE, kernel, *over(count), (*factors, *ends(z), *sizes))]


def multiply_grad(device: Device, y: tuple[Map, Map], dz: Map, a: Map, b: Map) -> list[Launch]:
    """y = the gradients of a and b, given that of a b."""
    da, db = y
    return _gathered(device, da, dz, b) + _gathered(device, db, dz, a)


def _gathered(device: Device, dx: Map, dz: Map, other: Map) -> list[Launch]:
    """Return what makes dx the sum of dz times the other factor over what dx stands for."""
    if dx.shape == dz.shape:
        return multiply(device, dx, dz, other)
    if other.shape == dz.shape and dx.shape == (dz.n, dz.c, 1, 1):
        grid = columns(device, dz.h * dz.w, dz.pieces, dz.c, parts=dz.n, sums=True)
        args = (*ends(dz, other, dx), *grid.partials(dz.piece), grid.sizes)
        return [Launch(FILE, f"sum_over_cells<{dz.name}>", grid.grid, grid.block, args)]
    if other.shape == dz.shape and dx.shape == (dz.n, 1, dz.h, dz.w):
        sizes = map(np.int32, (lanes(dz), dz.pieces, dz.pixels))
        args = (*ends(dz, other, dx), *sizes)
        return [Launch(FILE, f"sum_over_channels<{dz.name}>", *over_pixels(dz), args)]
    raise ValueError(
        f"the gradient of a factor {dx.shape} of {dz.shape}, the other {other.shape}: expected one "
        "of one cell or of one channel, and the other whole"
    )


def _steps(x: Map, z: Map) -> np.ndarray:
    """Return how a factor is read for the pixels of the product."""
    whole = x.h == z.h and x.w == z.w
    if not whole and (x.h, x.w) != (1, 1):
        raise ValueError(f"a factor of {x.h} x {x.w} cells of {z.h} x {z.w}: expected all or one")
    return struct(
        picture=x.h * x.w * x.pitch if x.n == z.n else 0,
        cell=x.pitch if whole else 0,
        single=x.c == 1 and z.c != 1,
    )
