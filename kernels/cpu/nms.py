"""Greedy suppression, each kept box against those after it, by a driver of the engine.

It needs no Numba where its code is kept, so that a detection begins at once.
"""

import numpy as np

from .. import reference
from ..reference.nms import EXPONENT, KINDS
from .engine import team
from .layout import dense

__all__ = ["nms"]

DRIVER = "nms.suppress"


def nms(boxes, scores, *, thresh, kind="default", beta=0.6):
    """Keep each box that no kept one of higher score overlaps, as the reference defines it.

    What is not float32 without gaps goes to the reference.
    """
    if kind not in KINDS or not dense(boxes, scores):
        return reference.nms(boxes, scores, thresh=thresh, kind=kind, beta=beta)
    exponent = {"greedynms": EXPONENT, "diounms": beta}.get(kind)
    order = np.argsort(-scores, kind="stable").astype(np.int64, copy=False)
    kept = np.ones(len(boxes), np.int64)
    numbers = np.array([thresh, exponent or 0], np.float32)
    places = [one.ctypes.data for one in (boxes, order, kept)]
    args = np.array([*places, len(order), numbers.ctypes.data, exponent is not None], np.int64)
    team.driver(DRIVER)(args.ctypes.data, 0, 0)
    return kept.astype(np.bool_)
