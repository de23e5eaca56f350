"""The gradient of a [yolo] without what is taken for that of wrong labels, in two launches."""

from typing import Any

import numpy as np

from .device import Counters, Device, Launch, Map, Scratch, struct
from .order import Numbers, contents

__all__ = ["reject_deltas"]

FILE = "rejection.cu"
THREADS = 256  # of a block, and in rejection.cu
BLOCKS = 1024  # at most
FACTS = 5  # that are added up, there
NUMBERS = 14  # there, of which a caller writes the first ten
ACTS = 4  # which of them says whether something is rejected


def reject_deltas(
    device: Device,
    out: tuple[Numbers, Any, Any],
    *,
    entries: int,
    delta_normalizer: float = 1.0,
    factor: Any = None,
) -> list[Launch]:
    """Do what `darkpy.loss.rejection.Rejection.apply` does, then normalize.

    out      the gradient, a Map of float32 or planes (n, c, h, w) float32; `NUMBERS` float64: the
             fields of a Rejection, then those of a Rule, then what is nobody's; and (3,) float32:
             the sums of the squares of boxes, objectness and classes that are left
    entries  of a box, with its classes
    factor   (1,) float32 of the device; delta_normalizer times it is what the gradient is
             multiplied by at the end; None: 1

    Where nothing is rejected, by `ACTS`, all stays as it is.
    """
    gradient, numbers, squares = out
    n, c, h, w = gradient.shape
    is_map = isinstance(gradient, Map)
    items = n * h * w * (gradient.pieces if is_map else c)
    lanes = gradient.piece if is_map else 1
    deltas = struct(
        items=items,
        pieces=gradient.pieces if is_map else 0,
        pitch=gradient.pitch if is_map else 0,
        cells=h * w,
        channels=c,
        entries=entries,
    )
    grid = (min(BLOCKS, -(-items // THREADS)),)
    partial = Scratch(grid[0] * FACTS, np.float64)
    args, sums = (contents(gradient), deltas, numbers), (partial, Counters(1))
    by = (np.float32(delta_normalizer), factor)
    return [
        Launch(FILE, f"measure_deltas<{lanes}>", grid, (THREADS,), (*args, *sums)),
        Launch(FILE, f"reject_deltas<{lanes}>", grid, (THREADS,), (*args, *by, *sums, squares)),
    ]
