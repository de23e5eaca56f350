"""Grids of kernels over channels: `lanes.cuh` says what its threads have."""

from .device import Map, over

WARP = 32


def lanes(x: Map) -> int:
    """Return how many lanes a pixel of a map has."""
    return min(WARP, 1 << (x.pieces - 1).bit_length())


def over_pixels(x: Map) -> tuple[tuple[int], tuple[int]]:
    """Return grid and block of a launch that gives each pixel its lanes."""
    return over(x.pixels * lanes(x))
