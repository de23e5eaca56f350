"""Pack weights that change in every step of training; those that stay `packing.pack` packs."""

from typing import Any

import numpy as np

from .device import NAMES, Device, Launch, over
from .packing import padded

__all__ = ["pack_weights"]


def pack_weights(
    device: Device, packed: Any, w: Any, *, groups: int, type_: str, turned: bool = False
) -> list[Launch]:
    """packed = w (f, c / groups, k, k) as `packing.pack` has it, of a type of map."""
    f, c, k, _ = w.shape
    rows, columns = (c, f // groups) if turned else (f // groups, c)
    wide = padded(columns, type_)
    count = groups * rows * k * k * wide
    sizes = map(np.int32, (rows, columns, wide, k * k, turned, count))
    return [Launch("pack.cu", f"pack<{NAMES[type_]}>", *over(count), (w, packed, *sizes))]
