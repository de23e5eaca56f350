"""Average precision: what remains of a precision-recall curve when it is one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def average_precision(
    precision: NDArray[np.float64], recall: NDArray[np.float64], points: int = 0
) -> float:
    """Return the average precision of a curve, 0..1, as darknet's validate_detector_map does.

    precision  (n,) float64, after each detection, the most probable first
    recall     (n,) float64, never falling
    points     0: the area under the curve made monotone (ImageNet, VOC 2010);
               11 (VOC 2007) or 101 (COCO): the mean, at so many recalls from 0 to 1, of the best
               precision at that recall or a higher one
    """
    if not len(precision):
        return 0.0
    best = np.maximum.accumulate(precision[::-1])[::-1]  # from each detection on
    if points == 0:
        return float(np.sum(np.diff(recall, prepend=0.0) * best))
    # Times the reciprocal, as gcc -Ofast has it, darknet's own setting: 6 * 0.1 is above 6 / 10, so
    # that of 5 objects 3 do not reach the recall .6. It is worth .3 points of mAP on 128 pictures.
    at = np.searchsorted(recall, np.arange(points) * (1 / (points - 1)))
    return float(np.append(best, 0.0)[at].sum() / points)
