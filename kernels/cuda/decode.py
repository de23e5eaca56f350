"""From the outputs of the heads to boxes that are left after suppression: darkpy/decode.py."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..reference.positives import POINTS
from .device import LIMIT, Counters, Device, Launch, Scratch, TooLarge, struct
from .nms import THREADS, suppression
from .order import Numbers, contents, order, strides

__all__ = ["decode"]

SEGMENT = THREADS  # boxes of a segment, in decode.cu
FOUND = 8  # 32-bit numbers of a Found there


@dataclass(frozen=True, kw_only=True)
class Head:
    """A detection head and what it puts out.

    kind        "yolo", "Gaussian_yolo", "region" or "detection"
    y           a Map of float32 or an array (n, c, h, w) float32, as the op of that name gives it;
                of a [detection] an array (n, ...) or a Map
    classes     of a box
    anchors     (a, 2) float32 of the device: w, h in pixels of the input, of a [region] in cells
    is_raw      y is what that op would be given: it need not run then. Of the [yolo]s only
    parents     (classes,) int32 of the device: of each class of a tree its parent, or -1

    The others are keys of the sections; side, num and sqrt those of a [detection].
    """

    kind: str
    y: Numbers
    classes: int
    anchors: Any = None
    is_raw: bool = False
    parents: Any = None
    new_coords: bool = False
    scale_x_y: float = 1.0
    yolo_point: str = "center"
    classfix: int = 0
    side: int = 0
    num: int = 0
    sqrt: bool = False

    @property
    def grid(self) -> tuple[int, int, int]:
        """(h, w) in cells, and the boxes of a cell."""
        if self.kind == "detection":
            return self.side, self.side, self.num
        return *self.y.shape[2:], len(self.anchors)

    @property
    def segments(self) -> int:
        """The number of segments that a picture's boxes fill."""
        return -(-math.prod(self.grid) // SEGMENT)

    @property
    def entries(self) -> int:
        """The numbers of a box."""
        return self.classes + (9 if self.kind == "Gaussian_yolo" else 5)

    @property
    def name(self) -> str:
        """The template arguments of the kernel that finds its boxes."""
        if self.kind == "detection":
            return f"{'Root' if self.sqrt else ''}DetectionBoxes, BY_PART, Given"
        if self.kind == "region":
            return f"Region{'Tree' if self.parents is not None else ''}Boxes, BY_BOX, Given"
        head = {"Gaussian_yolo": "GaussianYolo", "yolo": "Yolo"}[self.kind]
        head = "NewYolo" if self.new_coords else head
        return f"{head}Boxes, BY_CHANNEL, {head if self.is_raw else 'Given'}"


def decode(
    device: Device,
    results: Any,
    heads: Sequence[Head],
    *,
    width: int,
    height: int,
    thresh: float,
    nms: float = 0.45,
    kind: str = "default",
    beta: float = 0.6,
    frames: Any = None,
) -> list[Launch]:
    """Find the boxes of pictures: a launch for each head, and one that suppresses and collects.

    results        (n, 1 + most, 8) float32. Of each picture the first row says how many boxes, each
                   of one class, are left, and how many boxes counted before; the rows after it are
                   x, y, w, h, objectness, probability, class, and which of the boxes before it is,
                   in darknet's order. They are written class by class, the surest first. If more
                   are left than there are rows, the last are missing: a caller looks
    width, height  of the network's input, in pixels
    nms, kind, beta   thresh, kind and beta of `nms`; 0 suppresses none. Kind "objectness": by
                   intersection over union, the boxes of all classes together, each of class 0 and
                   of its objectness for a probability
    frames         (n, 3, 2) float64 of the device: `darkpy.boxes.frame` of each picture; None:
                   boxes stay in shares of the input

    What counts, the probabilities and the boxes are those of `darkpy.decode`. Raises ValueError for
    heads with other classes than the first, and TooLarge for more boxes times classes than 2^31.
    """
    n, classes = heads[0].y.shape[0], heads[0].classes
    if {head.classes for head in heads} != {classes}:
        raise ValueError(f"heads of {[head.classes for head in heads]} classes: expected the same")
    together = kind == "objectness"
    kind, classes = ("default", 1) if together else (kind, classes)
    segments = sum(head.segments for head in heads)
    places = n * segments * SEGMENT
    if places * classes >= LIMIT:
        raise TooLarge(f"{places} boxes of {classes} classes: expected less than 2^31 numbers")
    counts = Scratch(n * segments, np.int32)
    found = Scratch(places * FOUND, np.int32, counts.end)
    probs = Scratch(places * classes, offset=found.end)
    ids = Scratch(places * classes, np.int32, probs.end)
    others = Scratch(places * classes, np.int32, ids.end)
    kept = Scratch(n * classes, np.int32, others.end)
    launches, first = [], 0
    for head in heads:
        place = (first, segments)
        args = _arguments(head, place, width, height, thresh, together)
        grid = (head.segments, n)
        kernel = f"find_boxes<{head.name}>"
        args = (*args, frames, counts, found, probs)
        launches.append(Launch("decode.cu", kernel, grid, (SEGMENT,), args))
        first += head.segments
    rule = suppression(nms, kind, beta)
    numbers = (np.int32(segments), np.int32(nms > 0), np.int32(together), rule)
    outs = (ids, others, kept, Counters(n), results, np.int32(results.shape[1] - 1))
    args = (counts, found, probs, *numbers, *outs)
    shared = 4 * (segments + 1)
    launch = Launch("decode.cu", "suppress_boxes", (classes, n), (THREADS,), args, shared)
    return [*launches, launch]


def _arguments(
    head: Head, place: tuple[int, int], width: int, height: int, thresh: float, together: bool
) -> tuple[Any, ...]:
    h, w, boxes = head.grid
    first, segments = place
    numbers = struct(
        w=w,
        h=h,
        boxes=boxes,
        entries=head.entries,
        classes=head.classes,
        first=first,
        segments=segments,
        width=float(width),
        height=float(height),
        thresh=float(thresh),
        point=float(POINTS[head.yolo_point]),
        scale=float(head.scale_x_y),
        classfix=int(head.classfix),
        by_objectness=int(together),
    )
    planes = head.y if len(head.y.shape) == 4 else head.y.reshape(*head.y.shape, 1, 1)
    places = strides(planes), order(head.y)
    return contents(head.y), *places, head.anchors, head.parents, numbers
