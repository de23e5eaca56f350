"""Maps from planar arrays and back, from a type to another, from channels to channels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .device import Device, Launch, Map, ends, over, struct

__all__ = [
    "channels",
    "channels_grad",
    "concat",
    "concat_grad",
    "convert",
    "copy",
    "to_map",
    "to_planar",
]

NUMBERS = 1024  # of a tile
TILES = 8, 32  # channels of a tile, for maps that have no more than the first, and for others


def to_map(device: Device, y: Map, x: Any) -> list[Launch]:
    """y = x, float32 (n, c, h, w) one after another in memory."""
    return [from_pictures(y, x, y.c * y.h * y.w)]


def from_pictures(y: Map, x: Any, step: int) -> Launch:
    """Return the launch that makes y of pictures float32 (c, h, w) that are ``step`` apart."""
    tile, grid = _tiles(y)
    sizes = (np.int32(y.c), np.int32(y.pieces), np.int32(y.h * y.w))
    args = (_flat(x), np.int32(step), *ends(y), *sizes)
    return Launch("layout.cu", f"to_map<{y.name}, {tile}>", grid, (256,), args)


def to_planar(device: Device, y: Any, x: Map) -> list[Launch]:
    """y = x, float32 (n, c, h, w) one after another in memory."""
    tile, grid = _tiles(x)
    args = (*ends(x), _flat(y), np.int32(x.c), np.int32(x.pieces), np.int32(x.h * x.w))
    return [Launch("layout.cu", f"to_planar<{x.name}, {tile}>", grid, (256,), args)]


def _tiles(x: Map) -> tuple[int, tuple[int, int, int]]:
    """Return the channels of a tile, and the grid of tiles."""
    tile = TILES[0] if x.c <= TILES[0] else TILES[1]
    return tile, (-(-x.h * x.w // (NUMBERS // tile)), -(-x.c // tile), x.n)


def _flat(x: Any) -> Any:
    """Return an array as what it is in memory."""
    return x.reshape(-1)


def convert(device: Device, y: Map, x: Map) -> list[Launch]:
    """y = x, whatever their types."""
    groups = -(-x.c // max(x.piece, y.piece))
    count = x.pixels * groups
    args = (*ends(x, y), np.int32(x.c), np.int32(groups), np.int32(count))
    return [Launch("layout.cu", f"convert<{x.name}, {y.name}>", *over(count), args)]


def copy(device: Device, y: Map, x: Map) -> list[Launch]:
    """y = x; it is written elsewhere."""
    return convert(device, y, x)


def concat(device: Device, y: Map, *xs: Map) -> list[Launch]:
    """y = maps one behind the other."""
    launches, start = [], 0
    for x in xs:
        launches.append(_move(y, x, 0, start, x.c, kept=start))
        start += x.c
    return launches


def concat_grad(
    device: Device, dxs: Map | tuple[Map, ...], dy: Map, *, counts: Sequence[int]
) -> list[Launch]:
    """dxs = the channels of dy, as many as ``counts`` says for each."""
    launches, start = [], 0
    for dx, count in zip((dxs,) if isinstance(dxs, Map) else dxs, counts, strict=True):
        launches.append(_move(dx, dy, start, 0, count))
        start += count
    return launches


def channels(device: Device, y: Map, x: Map, *, start: int, count: int) -> list[Launch]:
    """y = the channels of x from ``start`` on."""
    return [_move(y, x, start, 0, count)]


def channels_grad(device: Device, dx: Map, dy: Map, *, start: int, channels: int) -> list[Launch]:
    """dx = dy where it was taken from, zeros in the other channels."""
    return [_move(dx, dy, 0, start, dy.c, whole=True)]


def _move(
    y: Map, x: Map, start: int, to: int, count: int, kept: int = 0, whole: bool = False
) -> Launch:
    """Return the launch that moves channels, and writes the pieces of y that they are in or all.

    A piece that two maps share is written first with zeros behind the channels of the first.
    """
    first, last = (0, y.pieces) if whole else (to // y.piece, -(-(to + count) // y.piece))
    fields = {"from": start, "to": to, "count": count, "kept": kept, "first": first, "last": last}
    move = struct(**fields)
    total = y.pixels * (last - first)
    args = (*ends(x, y), move, np.int32(total))
    return Launch("layout.cu", f"move_channels<{x.name}>", *over(total), args)
