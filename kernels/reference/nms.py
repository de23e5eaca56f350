"""Greedy suppression of the boxes of one class (darknet's box.c: do_nms_sort, diounms_sort)."""

import numpy as np

__all__ = ["nms"]

EXPONENT = 0.6  # of "greedynms"
KINDS = ("default", "cornersnms", "greedynms", "diounms")


def nms(boxes, scores, *, thresh, kind="default", beta=0.6):
    """Keep each box that no kept box of higher score overlaps by more than ``thresh``.

    boxes    (n, 4) float32 x, y, w, h, centre and size
    scores   (n,) float32; of equal ones the first goes first
    kind     how overlap is measured: "default" and "cornersnms" by intersection over union,
             "greedynms" by iou - (d2 / c2) ** .6, "diounms" by iou - (d2 / c2) ** beta, where d2
             is the squared distance of the centres and c2 that across the enclosing box
    returns  (n,) bool, True for those kept
    raises   ValueError for another kind

    DIoU-NMS: https://arxiv.org/abs/1911.08287. Memory is O(n); time O(n) for each box kept.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: expected one of {', '.join(KINDS)}")
    exponent = {"greedynms": EXPONENT, "diounms": beta}.get(kind)
    xp = boxes.__array_namespace__()
    keep = xp.zeros(len(boxes), bool)
    left = xp.argsort(-scores, kind="stable")
    while left.size:
        first, left = left[0], left[1:]
        keep[first] = True
        left = left[~(_overlap(boxes[first], boxes[left], exponent) > thresh)]
    return keep


def _overlap(box, others, exponent):
    """Return how much ``box`` (4,) overlaps each of ``others`` (n, 4)."""
    xp = box.__array_namespace__()
    low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
    lows, highs = others[:, :2] - others[:, 2:] / 2, others[:, :2] + others[:, 2:] / 2
    with np.errstate(all="ignore"):  # boxes may be empty, or very large
        sides = xp.minimum(high, highs) - xp.maximum(low, lows)
        both = xp.where((sides < 0).any(1), 0, sides[:, 0] * sides[:, 1])
        union = box[2] * box[3] + others[:, 2] * others[:, 3] - both
        iou = xp.where((both == 0) | (union == 0), 0, both / union)
        if exponent is None:
            return iou
        around = ((xp.maximum(high, highs) - xp.minimum(low, lows)) ** 2).sum(1)
        apart = ((box[:2] - others[:, :2]) ** 2).sum(1)
        return iou - xp.where(around == 0, 0, apart / around) ** exponent
