"""Match the detections of a picture with its truths, as darknet's validate_detector_map does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..boxes import iou

AT_ONCE = 1 << 20  # overlaps computed at a time: 4 MiB each for the handful of arrays they need


class Matches(NamedTuple):
    """The detections of one picture: a row for each box and class of probability above 0.

    prob      (n,) float32, in the order of the boxes, then of the classes: darknet's
    class_id  (n,) int32
    truth     (n,) int32, the index of the truth it matches, -1 for none
    overlap   (n,) float32, the IoU with that truth, 0 for none
    excused   (n,) bool, it matches no truth but a difficult one
    objects   (m,) int32, the class of each truth
    """

    prob: NDArray[np.float32]
    class_id: NDArray[np.int32]
    truth: NDArray[np.int32]
    overlap: NDArray[np.float32]
    excused: NDArray[np.bool_]
    objects: NDArray[np.int32]


def match(
    boxes: NDArray[np.float32],
    probs: NDArray[np.float32],
    truths: NDArray[np.float32],
    iou_thresh: float = 0.5,
    difficult: NDArray[np.float32] | None = None,
) -> Matches:
    """Give each detection the truth of its class that it overlaps most, and more than iou_thresh.

    boxes      (n, 4) float32 x, y, w, h, centre and size in 0..1
    probs      (n, classes) float32, 0 where the box is not of the class
    truths     (m, 5) float32 class, x, y, w, h
    difficult  like truths: a detection of one of these is no mistake

    Several detections may have the same truth: which of them counts depends on the order in which
    one looks at them (`darkpy.evaluate.report.evaluate`).
    """
    box, class_id = np.nonzero(probs > 0)
    truth, overlap = best_truth(boxes[box], class_id, truths, iou_thresh)
    excused = np.zeros(len(box), np.bool_)
    if difficult is not None and len(difficult):
        excused = (truth < 0) & (best_truth(boxes[box], class_id, difficult, iou_thresh)[0] >= 0)
    objects = truths[:, 0].astype(np.int32)
    return Matches(
        probs[box, class_id], class_id.astype(np.int32), truth, overlap, excused, objects
    )


def best_truth(
    boxes: NDArray[np.float32],
    class_id: NDArray[np.intp],
    truths: NDArray[np.float32],
    iou_thresh: float,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return, for each box, the index of the truth of its class with most IoU, and that IoU.

    The index is -1 where no IoU is above iou_thresh; of equal ones the first truth is taken.
    """
    found = np.full(len(boxes), -1, np.int32)
    overlap = np.zeros(len(boxes), np.float32)
    step = max(1, AT_ONCE // max(1, len(truths)))
    for start in range(0, len(boxes) if len(truths) else 0, step):
        part = slice(start, start + step)
        overlaps = iou(boxes[part], truths[:, 1:])  # (boxes, truths)
        overlaps[class_id[part, None] != truths[None, :, 0]] = 0
        best = overlaps.argmax(axis=1)
        most = overlaps[np.arange(len(best)), best]
        matched = most > iou_thresh
        found[part] = np.where(matched, best, -1)
        overlap[part] = np.where(matched, most, 0)
    return found, overlap
