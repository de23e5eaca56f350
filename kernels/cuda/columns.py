"""Grids over the columns of a map: `columns.cuh` says what its threads have."""

from dataclasses import dataclass
from math import isqrt

import numpy as np

from .device import Counters, Device, Scratch, struct

LANES, THREADS = 32, 256
RESIDENT = 8  # blocks that a processor runs side by side
SUMMING = 4  # of those that keep sums
TURNS = 4  # pixels of a thread, if that leaves a block for each processor: it loads vectors once


@dataclass(frozen=True)
class Columns:
    """A grid of blocks, each of some pieces side by side and of a slice of the pixels.

    grid   (columns, slices, parts)
    block  (lanes, rows)
    sizes  the struct that kernels are given
    """

    grid: tuple[int, int, int]
    block: tuple[int, int]
    sizes: np.ndarray

    def partials(self, numbers: int) -> tuple[Scratch, Counters]:
        """Return the memory in which slices leave so many numbers a lane, and their counters."""
        columns, slices, parts = self.grid
        count = columns * self.block[0] * slices * parts * numbers
        return Scratch(count), Counters(columns * parts)


def columns(
    device: Device, pixels: int, pieces: int, channels: int, parts: int = 1, sums: bool = False
) -> Columns:
    """Return the grid over a map.

    pixels  of one of the ``parts`` of the map
    sums    slices leave sums, which one block adds up: no more slices than a slice has pixels
    """
    lanes = min(LANES, 1 << (pieces - 1).bit_length())
    rows = THREADS // lanes
    across = -(-pieces // lanes)
    most = -(-pixels // rows)
    busy = max(1, device.processors // (across * parts))
    if sums:
        slices = min(most, busy * SUMMING, isqrt(pixels) + 1)
    else:
        slices = min(most, busy * RESIDENT, max(busy, -(-most // TURNS)))
    turns = -(-pixels // (slices * rows))
    slice_ = turns * rows
    grid = (across, -(-pixels // slice_), parts)
    sizes = struct(pixels=pixels, pieces=pieces, channels=channels, slice=slice_)
    return Columns(grid, (lanes, rows), sizes)
