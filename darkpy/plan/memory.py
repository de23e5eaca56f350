"""Give every array of a program a place in one arena: those alive at once lie apart.

Largest first, each at the lowest place that is free as long as it lives (the offset calculation of
Pisarchyk and Lee 2020, https://arxiv.org/abs/2001.03288).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .trace import Program, Value

BLOCK = 16
BLOCKS = {"planar": 1, "blocked": BLOCK, "bf16": 2 * BLOCK}  # channels side by side
LINE = 64  # bytes of a cache line, and of a cell of a block
PAGE = 4096  # planes a multiple of it apart meet in the same sets of the cache


@dataclass(frozen=True)
class Place:
    """Where a root Value lies: bytes from the arena's start, its strides and its border."""

    offset: int
    size: int
    image: int
    plane: int
    row: int
    border: tuple[int, int, int, int]


class Room:
    """Memory for plans that run one at a time: a buffer for each use, as large as any has needed.

    make   returns a buffer of so many bytes
    plans  that lie in it, by any key; they are let go before a larger buffer is made
    """

    def __init__(self, make: Callable[[int], Any] | None = None) -> None:
        self._make = make or aligned
        self._buffers: dict[str, Any] = {}
        self.plans: dict[Any, Any] = {}

    def take(self, use: str, size: int) -> Any:
        """Return the buffer for a use, of ``size`` bytes or more."""
        if use not in self._buffers or len(self._buffers[use]) < size:
            self.plans.clear()
            self._buffers.pop(use, None)
            self._buffers[use] = self._make(size)
        return self._buffers[use]


def aligned(size: int) -> NDArray[np.uint8]:
    """Return zeros, in bytes, at an address that is a multiple of 64."""
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size]


def place(program: Program, elsewhere: Container[Value] = ()) -> tuple[dict[Value, Place], int]:
    """Return the place of every root Value but those elsewhere, and the bytes of the arena."""
    borders = margins(program)
    lives = {one: life for one, life in lifetimes(program).items() if one not in elsewhere}
    shapes = {root: strides(root, borders.get(root, (0, 0, 0, 0))) for root in lives}
    offsets, size = offset({root: shape[0] for root, shape in shapes.items()}, lives)
    return {root: Place(offsets[root], *shapes[root]) for root in shapes}, size


def offset(
    sizes: Mapping[Value, int], lives: Mapping[Value, tuple[int, int]]
) -> tuple[dict[Value, int], int]:
    """Return where each of some Values begins, and where the last ends, in bytes.

    sizes  in bytes; lives  the first and the last op that need it
    """
    found: dict[Value, int] = {}
    for root in sorted(sizes, key=lambda one: -sizes[one]):
        first, last = lives[root]
        others = sorted(
            (found[one], found[one] + sizes[one])
            for one in found
            if lives[one][0] <= last and first <= lives[one][1]
        )
        place = 0
        for start, end in others:
            if place + sizes[root] <= start:
                break
            place = max(place, end)
        found[root] = place
    return found, max((found[one] + sizes[one] for one in found), default=0)


def lifetimes(program: Program) -> dict[Value, tuple[int, int]]:
    """Return for every root Value the first op that writes it and the last that reads it."""
    lives: dict[Value, tuple[int, int]] = {}
    for at, op in enumerate(program.ops):
        for value in (*op.inputs, *op.outputs):
            first, _ = lives.get(value.root, (at, at))
            lives[value.root] = (first, at)
    end = len(program.ops)
    for value in program.outputs.values():
        first, _ = lives.get(value.root, (-1, -1))
        lives[value.root] = (first, end)
    return lives


def margins(program: Program) -> dict[Value, tuple[int, int, int, int]]:
    """Return the zeros that readers need around root Values: (top, left, bottom, right) cells."""
    from .lower import margin

    found: dict[Value, tuple[int, int, int, int]] = {}
    for op in program.ops:
        for value, sides in margin(op):
            known = found.get(value.root, (0, 0, 0, 0))
            top, left, bottom, right = (max(a, b) for a, b in zip(known, sides, strict=True))
            found[value.root] = (top, left, bottom, right)
    return found


def strides(
    root: Value, border: tuple[int, int, int, int]
) -> tuple[int, int, int, int, tuple[int, int, int, int]]:
    """Return (bytes, image, plane, row, border) of a root Value."""
    if root.ndim != 4:
        size = -(-4 * math.prod(root.shape) // LINE) * LINE
        return size, 0, 0, 0, border
    n, c, h, w = root.shape
    top, left, bottom, right = border
    block = BLOCKS[root.layout]
    if root.planar and any(border):
        left = -(-left // BLOCK) * BLOCK  # so that rows begin at a multiple of 64 bytes
        right = -(w + right) % BLOCK + right
        border = (top, left, bottom, right)
    row = (w + left + right) * (4 if root.planar else LINE)
    plane = (h + top + bottom) * row
    if block > 1 and plane % PAGE == 0:
        plane += LINE
    image = -(-c // block) * plane
    size = -(-n * image // LINE) * LINE
    return size, image, plane, row, border
