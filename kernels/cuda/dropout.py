"""What to multiply a map by so that parts of it drop out, and the rest makes up for them.

Numbers are drawn on the device, by a generator of counters: which ones follows from a seed, from
the number of the step, both of which lie in memory of the device, and from the op's own stream. So
a captured step draws anew each time it runs, if `next_step` is among its launches.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .columns import THREADS, columns
from .device import Device, Launch, Map, Scratch, ends, over

__all__ = ["dropblock_mask", "dropout_mask", "next_step"]

FILE = "dropout.cu"


@dataclass(frozen=True)
class Draws:
    """What stands for a generator of numbers.

    state   uint32 (4,) of the device (`first_state`): seed and step, lower words first
    stream  one of its own for each op of a step
    """

    state: Any
    stream: int


def first_state(device: Device, seed: int, step: int = 0) -> Any:
    """Return a new state: a seed and the number of a step, 64 bits each."""
    words = np.array([seed, step], np.uint64).view(np.uint32)  # little-endian, as devices are
    return device.upload(words.copy())


def next_step(device: Device, state: Any) -> list[Launch]:
    """Count a step more, in place."""
    return [Launch(FILE, "next_step", (1,), (1,), (state,))]


def dropout_mask(
    device: Device, y: Map, x: Map, draws: Draws, *, probability: float
) -> list[Launch]:
    """y = 0 with ``probability`` and 1 / (1 - probability) elsewhere, for each number of x."""
    rest = 1 / (1 - probability) if probability < 1 else 0.0
    count = y.pixels * y.pieces
    given = (draws.state, np.uint32(draws.stream), np.float32(probability), np.float32(rest))
    sizes = map(np.int32, (y.c, y.pieces, count))
    args = (*ends(y), *given, *sizes)
    return [Launch(FILE, f"dropout_mask<{y.name}>", *over(count), args)]


def dropblock_mask(
    device: Device, y: Map, x: Map, draws: Draws, *, probability: float, size: int
) -> list[Launch]:
    """y = 0 in random squares of size x size, and 1 / the share kept of its picture elsewhere."""
    rows, cols = y.h - size + 1, y.w - size + 1
    chance = probability * y.h * y.w / (size * size * rows * cols)
    grid = columns(device, y.h * y.w, y.pieces, y.c, parts=y.n, sums=True)
    partials, done = grid.partials(y.piece)
    counts = grid.grid[0] * grid.block[0] * y.piece
    kept = Scratch(counts * y.n, offset=partials.end)
    given = (draws.state, np.uint32(draws.stream), np.float32(chance))
    sizes = map(np.int32, (size, y.h, y.w))
    drop = (*ends(y), *given, *sizes, kept, partials, done, grid.sizes)
    scale = (*ends(y), kept, np.int32(counts), np.float32(y.c * y.h * y.w))
    blocks = -(-y.h * y.w * y.pieces // (THREADS * 4))
    args = (*scale, np.int32(y.h * y.w), np.int32(y.pieces))
    return [
        Launch(FILE, f"drop_squares<{y.name}>", grid.grid, grid.block, drop),
        Launch(FILE, f"rescale<{y.name}>", (blocks, y.n), (1, THREADS), args),
    ]
