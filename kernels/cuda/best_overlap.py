"""The truth that each predicted box comes nearest to."""

from typing import Any

import numpy as np

from .device import Device, Launch, over

__all__ = ["best_overlap"]


def best_overlap(
    device: Device, y: tuple[Any, Any], boxes: Any, truths: Any, *, count: Any = None
) -> list[Launch]:
    """Find each box's best truth.

    y      (n, a, m) float32 IoU, and (n, a, m) int32 indices of truths
    boxes  (n, a, 4, m) float32, no map
    count  (1,) int32 of the device: how many rows of truths there are; None: all of them
    """
    n, a, _, m = boxes.shape
    sizes = map(np.int32, (m, a * m, n * a * m))
    args = (boxes, truths, np.int32(len(truths)), count, *y, *sizes)
    return [Launch("best_overlap.cu", "best_overlap", *over(n * a * m), args)]
