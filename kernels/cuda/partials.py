"""Sums of the parts that blocks have computed of a gradient of weights."""

from typing import Any

import numpy as np

from .device import Launch, Scratch

CHANNELS, TAPS = 32, 16  # of a block
STRANDS = 8  # that share the parts


def partials(
    count: int, *, filters: int, channels: int, padded: int, taps: int, dw: Any, accumulate: bool
) -> tuple[Scratch, Launch]:
    """Return memory for parts (count, filters, taps, padded), and what adds them up.

    dw  (filters, channels, k, k) float32, which is written or, with ``accumulate``, added to
    """
    parts = Scratch(count * filters * taps * padded)
    blocks = filters * -(-padded // min(CHANNELS, padded)) * -(-taps // min(TAPS, taps))
    sizes = (count, filters, channels, padded, taps, min(count, STRANDS), accumulate)
    args = (parts, dw, *map(np.int32, sizes))
    return parts, Launch("partials.cu", "sum_partials", (blocks,), (256,), args)
