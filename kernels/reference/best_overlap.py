"""The truth that each predicted box comes nearest to."""

import numpy as np

from ..common.overlap import overlap

__all__ = ["best_overlap"]


def best_overlap(boxes, truths):
    """Return each box's best IoU with the truths of its picture, and the truth it is with.

    boxes    (n, a, 4, m): x, y, w, h of m boxes of a anchors in n pictures
    truths   (k, 6): index of the picture, class, x, y, w, h
    returns  (n, a, m) IoU, 0 where there is none, and (n, a, m) int32 index of the truth, the first
             of equals
    """
    best = np.zeros_like(boxes[:, :, 0])
    which = np.zeros_like(best, np.int32)
    for t in range(len(truths)):
        picture = int(truths[t, 0])
        iou = overlap(np.moveaxis(boxes[picture], 1, -1), truths[t, 2:])
        better = iou > best[picture]
        best[picture][better] = iou[better]
        which[picture][better] = t
    return best, which
