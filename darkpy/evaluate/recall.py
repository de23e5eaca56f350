"""How many objects any box covers, whatever its class (darknet's validate_detector_recall)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..boxes import iou
from .report import ratio

THRESH = 0.001
NMS = 0.4  # whatever the class: the surest suppress those that overlap them (do_nms_obj)
KIND = "objectness"
IOU_THRESH = 0.5


@dataclass
class Recall:
    """The counts over the pictures seen so far."""

    pictures: int = 0
    proposals: int = 0
    objects: int = 0
    found: int = 0
    overlap: float = 0.0

    def add(self, boxes: NDArray[np.float32], truths: NDArray[np.float32]) -> None:
        """Count a picture: its (n, 4) boxes and its (m, 5) truths (class, x, y, w, h)."""
        self.pictures += 1
        self.proposals += len(boxes)
        self.objects += len(truths)
        if len(boxes):
            best = [iou(truth[None, 1:], boxes).max() for truth in truths]
            self.overlap += float(sum(best))
            self.found += sum(one > IOU_THRESH for one in best)

    def line(self, index: int) -> str:
        """Return the line that darknet prints after each picture, ``index`` counting from 0."""
        return (
            f"{index:5d} {self.found:5d} {self.objects:5d}"
            f"\tRPs/Img: {ratio(self.proposals, self.pictures):.2f}"
            f"\tIOU: {100 * ratio(self.overlap, self.objects):.2f}%"
            f"\tRecall:{100 * ratio(self.found, self.objects):.2f}%"
        )
