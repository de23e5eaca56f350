"""Greedy suppression of boxes."""

import numpy as np
from numba.extending import register_jitable

from .call import load, put, word

BOX = 16  # bytes of a box: x, y, w, h, centre and size
HALF, ZERO = np.float32(0.5), np.float32(0)


def suppress(a, task, scratch):
    """Clear what is not kept of boxes taken in order; see reference/nms.py for the overlap.

    a  [boxes, order, kept (int64 each, ones before), count, (thresh, exponent), with distance]
    """
    boxes, order, kept, count = a[0], a[1], a[2], a[3]
    thresh, exponent = load(a[4]), load(a[4] + 4)
    for i in range(count):
        first = word(order + 8 * i)
        if not word(kept + 8 * first):
            continue
        for j in range(i + 1, count):
            other = word(order + 8 * j)
            if word(kept + 8 * other):
                near = measure(boxes + BOX * first, boxes + BOX * other, thresh, a[5], exponent)
                if near > thresh:
                    put(kept + 8 * other, 0)


@register_jitable
def measure(a, b, enough, with_distance, exponent):
    """Return the overlap of the boxes at two addresses: in full only if their iou is ``enough``."""
    x, y, w, h = load(a), load(a + 4), load(a + 8), load(a + 12)
    x_b, y_b, w_b, h_b = load(b), load(b + 4), load(b + 8), load(b + 12)
    left, right, top, bottom = x - HALF * w, x + HALF * w, y - HALF * h, y + HALF * h
    left_b, right_b = x_b - HALF * w_b, x_b + HALF * w_b
    top_b, bottom_b = y_b - HALF * h_b, y_b + HALF * h_b
    width = min(right, right_b) - max(left, left_b)
    height = min(bottom, bottom_b) - max(top, top_b)
    both = ZERO if width < ZERO or height < ZERO else width * height
    union = w * h + w_b * h_b - both
    iou = ZERO if both == ZERO or union == ZERO else both / union
    if not (with_distance and iou > enough):  # the term is never negative
        return iou
    across = max(right, right_b) - min(left, left_b)
    along = max(bottom, bottom_b) - min(top, top_b)
    around = across * across + along * along
    apart = (x - x_b) * (x - x_b) + (y - y_b) * (y - y_b)
    return iou - (ZERO if around == ZERO else (apart / around) ** exponent)
