"""Greedy suppression of the boxes of one class."""

from typing import Any

import numpy as np

from ..reference.nms import EXPONENT, KINDS
from .device import Device, Launch, Scratch, struct

__all__ = ["nms"]

THREADS = 256  # SUPPRESSING in suppress.cuh


def nms(
    device: Device,
    keep: Any,
    boxes: Any,
    scores: Any,
    *,
    thresh: float,
    kind: str = "default",
    beta: float = 0.6,
) -> list[Launch]:
    """Keep each box that no kept box of higher score overlaps by more than ``thresh``.

    keep  (n,) bool
    """
    count = len(scores)
    ids = Scratch(max(1, count), np.int32)
    gone = Scratch(max(1, count), np.int32, ids.end)
    args = (boxes, scores, keep, ids, gone, np.int32(count), suppression(thresh, kind, beta))
    return [Launch("nms.cu", "nms", (1,), (THREADS,), args)]


def suppression(thresh: float, kind: str, beta: float) -> np.ndarray:
    """Return the struct Suppression. Raises ValueError for a kind that there is not."""
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
    exponent = {"greedynms": EXPONENT, "diounms": beta}.get(kind, 0.0)
    return struct(thresh=float(thresh), exponent=float(exponent))
