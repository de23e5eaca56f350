"""Match the detections of a picture with its truths, as darknet's validate_detector_map does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..boxes import iou

AT_ONCE = 1 << 20  # overlaps computed at a time: 4 MiB each for the handful of arrays they need


class Matches(NamedTuple):
    """The detections of one picture: a row for each box and class of probability above 0.

    prob       (n,) float32, in the order of the boxes, then of the classes: darknet's
    class_id   (n,) int32
    truth      (n,) int32, the index of the truth of its class that it overlaps most, if any
    overlap    (n,) float32, the IoU with that truth; 0 where there is none
    difficult  (n,) float32, the most IoU with a difficult truth of its class; 0 where there is none
    objects    (m,) int32, the class of each truth

    How much overlap makes a match is for `darkpy.evaluate.report.evaluate` to say.
    """

    prob: NDArray[np.float32]
    class_id: NDArray[np.int32]
    truth: NDArray[np.int32]
    overlap: NDArray[np.float32]
    difficult: NDArray[np.float32]
    objects: NDArray[np.int32]


def match(
    boxes: NDArray[np.float32],
    probs: NDArray[np.float32],
    truths: NDArray[np.float32],
    difficult: NDArray[np.float32] | None = None,
) -> Matches:
    """Give each detection the truth of its class that it overlaps most.

    boxes      (n, 4) float32 x, y, w, h, centre and size in 0..1
    probs      (n, classes) float32, 0 where the box is not of the class
    truths     (m, 5) float32 class, x, y, w, h
    difficult  like truths: a detection of one of these is no mistake

    Several detections may have the same truth: which of them counts depends on the order in which
    one looks at them (`darkpy.evaluate.report.evaluate`).
    """
    box, class_id = np.nonzero(probs > 0)
    truth, overlap = best_truth(boxes[box], class_id, truths)
    excuse = np.zeros(len(box), np.float32)
    if difficult is not None:
        _, excuse = best_truth(boxes[box], class_id, difficult)
    objects = truths[:, 0].astype(np.int32)
    return Matches(probs[box, class_id], class_id.astype(np.int32), truth, overlap, excuse, objects)


def best_truth(
    boxes: NDArray[np.float32], class_id: NDArray[np.intp], truths: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return, for each box, the index of the truth of its class with most IoU, and that IoU.

    Of equal ones the first truth is taken; an IoU of 0 means that none overlaps.
    """
    found = np.zeros(len(boxes), np.int32)
    overlap = np.zeros(len(boxes), np.float32)
    step = max(1, AT_ONCE // max(1, len(truths)))
    for start in range(0, len(boxes) if len(truths) else 0, step):
        part = slice(start, start + step)
        overlaps = iou(boxes[part], truths[:, 1:])  # (boxes, truths)
        overlaps[class_id[part, None] != truths[None, :, 0]] = 0
        found[part] = best = overlaps.argmax(axis=1)
        overlap[part] = overlaps[np.arange(len(best)), best]
    return found, overlap
