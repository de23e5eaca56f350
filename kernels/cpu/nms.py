"""Greedy suppression, each kept box against those after it."""

import numpy as np

from .. import reference
from ..reference.nms import KINDS
from .jit import inline, jit
from .layout import dense

__all__ = ["nms"]


def nms(boxes, scores, *, thresh, kind="default", beta=0.6):
    """Keep each box that no kept one of higher score overlaps, as the reference defines it.

    What is not float32 without gaps goes to the reference.
    """
    if kind not in KINDS or not dense(boxes, scores):
        return reference.nms(boxes, scores, thresh=thresh, kind=kind, beta=beta)
    exponent = {"greedynms": 0.6, "diounms": beta}.get(kind)
    order = np.argsort(-scores, kind="stable")
    numbers = np.array([thresh, 0 if exponent is None else exponent], np.float32)
    return suppress(boxes, order, exponent is not None, *numbers)


@jit
def suppress(boxes, order, with_distance, thresh, exponent):
    """Return which boxes (n, 4) are kept when they are taken in ``order``."""
    keep = np.ones(len(boxes), np.bool_)
    for i in range(len(order)):
        if not keep[order[i]]:
            continue
        box = boxes[order[i]]
        for j in range(i + 1, len(order)):
            if keep[order[j]]:
                overlap = measure(box, boxes[order[j]], thresh, with_distance, exponent)
                keep[order[j]] = not overlap > thresh
    return keep


@inline
def measure(a, b, enough, with_distance, exponent):
    """Return the overlap of two boxes (4,): in full only if their iou is ``enough``."""
    half = np.float32(0.5)
    zero = np.float32(0)
    left, right = a[0] - half * a[2], a[0] + half * a[2]
    top, bottom = a[1] - half * a[3], a[1] + half * a[3]
    left_b, right_b = b[0] - half * b[2], b[0] + half * b[2]
    top_b, bottom_b = b[1] - half * b[3], b[1] + half * b[3]
    width = min(right, right_b) - max(left, left_b)
    height = min(bottom, bottom_b) - max(top, top_b)
    both = zero if width < zero or height < zero else width * height
    union = a[2] * a[3] + b[2] * b[3] - both
    iou = zero if both == zero or union == zero else both / union
    if not (with_distance and iou > enough):  # the term is never negative
        return iou
    across = max(right, right_b) - min(left, left_b)
    along = max(bottom, bottom_b) - min(top, top_b)
    around = across * across + along * along
    apart = (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1])
    return iou - (zero if around == zero else (apart / around) ** exponent)
