"""Pack weights that change in every step of training; those that stay `packing.pack` packs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .device import NAMES, TYPES, Device, Launch, Scratch, over, room
from .packing import padded

__all__ = ["pack_weights"]

CHUNK = 4096  # numbers of a block


def pack_weights(
    device: Device, packed: Any, w: Any, *, groups: int, type_: str, turned: bool = False
) -> list[Launch]:
    """packed = w (f, c / groups, k, k) as `packing.pack` has it, of a type of map.

    A window may have another number of rows than of columns.
    """
    f, c, high, wide = w.shape
    taps = high * wide
    rows, columns = (c, f // groups) if turned else (f // groups, c)
    across = padded(columns, type_)
    count = groups * rows * taps * across
    sizes = map(np.int32, (rows, columns, across, taps, turned, count))
    return [Launch("pack.cu", f"pack<{NAMES[type_]}>", *over(count), (w, packed, *sizes))]


@dataclass(frozen=True)
class Weights:
    """Weights in a flat array, and where among packed ones they go; in numbers from the beginning.

    shape  (f, c / groups, k, k)
    """

    start: int
    shape: tuple[int, ...]
    groups: int
    turned: bool
    to: int


def pack_many(
    device: Device, packed: Any, w: Any, weights: Iterable[Weights], *, type_: str
) -> list[Launch]:
    """Do what `pack_weights` does for many weights of one flat array, in one launch."""
    chunks = []
    for one in weights:
        f, c, high, wide = one.shape
        rows, columns = (c, f // one.groups) if one.turned else (f // one.groups, c)
        across = padded(columns, type_)
        sizes = (one.start, one.to, rows, columns, across, high * wide, one.turned)
        count = one.groups * rows * high * wide * across
        parts = range(0, count, CHUNK)
        chunks += [(*sizes, first, min(CHUNK, count - first)) for first in parts]
    if not chunks:
        return []
    table = device.upload(np.array(chunks, np.int32).reshape(-1))
    name = f"pack_many<{NAMES[type_]}>"
    return [Launch("pack.cu", name, (len(chunks),), (256,), (table, w, packed))]


def packed_first(
    device: Device,
    launches: Callable[[Any], list[Launch]],
    w: Any,
    *,
    groups: int = 1,
    type_: str,
    turned: bool = False,
) -> list[Launch]:
    """Return launches of weights that a launch before packs, in scratch memory beside theirs."""
    f, c, high, wide = w.shape
    rows, columns = (c * groups, f // groups) if turned else (f, c)
    count = rows * high * wide * padded(columns, type_)
    weights = Scratch(count, TYPES[type_], room(launches(None)))
    how = {"groups": groups, "type_": type_, "turned": turned}
    return [*pack_weights(device, weights, w, **how), *launches(weights)]
