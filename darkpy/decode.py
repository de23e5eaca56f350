"""From the outputs of the heads to boxes: darknet's get_network_boxes, and its suppression.

A head's output becomes `Candidates`, the boxes whose objectness is above the threshold, by the
function that `DECODE` has for its section. Numbers are compared in float32, as C compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .boxes import to_corners
from .detections import Detections
from .errors import NetworkError
from .tree import Tree

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Boxes of one picture, each with the probability of each class.

    boxes       (n, 4) float32 x, y, w, h, centre and size: in 0..1 of the network's input as the
                decoders give them, of the picture once `moved`
    objectness  (n,) float32
    probs       (n, classes) float32, objectness times the class's own; 0 where that is not above
                the threshold

    The order is darknet's: heads as in the .cfg, cells row by row, then anchors.
    """

    boxes: Floats
    objectness: Floats
    probs: Floats

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def join(cls, parts: Sequence[Candidates]) -> Candidates:
        """Put those of several heads one behind the other.

        Raises NetworkError if the heads do not have the same number of classes.
        """
        classes = {part.probs.shape[1] for part in parts}
        if len(classes) > 1:
            counts = " and ".join(map(str, sorted(classes)))
            raise NetworkError(f"expected heads with the same classes; they have {counts}")
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.objectness for part in parts]),
            np.concatenate([part.probs for part in parts]),
        )

    @classmethod
    def of_rows(cls, rows: Floats, classes: int) -> Candidates:
        """Return those that a device has found, in the order in which `suppress` leaves them.

        But where a class decides that order which was taken from a box: there it is another.

        rows  of x, y, w, h, objectness, probability, class, and a number that boxes which lie in
              several rows have in all of them, and that rises with cells and anchors
        """
        _, first, place = np.unique(rows[:, 7], return_index=True, return_inverse=True)
        probs = np.zeros((len(first), classes), np.float32)
        probs[place, rows[:, 6].astype(int)] = rows[:, 5]
        order = np.arange(len(first))
        for k in np.flatnonzero(probs.any(0)):
            order = _surest_first(order, probs[:, k])
        return cls(rows[first, :4], rows[first, 4], probs).taken(order)

    def moved(self, boxes: Floats) -> Candidates:
        """Return the same candidates with other boxes."""
        return Candidates(boxes, self.objectness, self.probs)

    def taken(self, index: Any) -> Candidates:
        """Return those that a mask or indices choose."""
        return Candidates(self.boxes[index], self.objectness[index], self.probs[index])


@np.errstate(all="ignore")  # sizes may overflow; `_finite` drops such boxes
def yolo(output: Floats, head: Any, net_h: int, net_w: int, thresh: float) -> Candidates:
    """Decode the output (c, h, w) of a [yolo] (yolo_layer.c:get_yolo_detections)."""
    priors = np.array(head.priors, np.float32)
    values, anchor, row, column = _chosen(output, len(priors), 4, thresh)
    _, h, w = output.shape
    x, y = (column + values[:, 0]) / np.float32(w), (row + values[:, 1]) / np.float32(h)
    if head.new_coords:
        size = np.array([net_w, net_h], np.float32)
        sizes: Floats = values[:, 2:4] * values[:, 2:4] * 4 * priors[anchor] / size
    else:
        sizes = _grown(values[:, 2:4], priors[anchor], net_w, net_h)
    probs = values[:, 4:5] * values[:, 5:]
    return _finite(_stacked(x, y, sizes), values[:, 4], _above(probs, thresh))


_TO_CENTRE = {  # from the point that x and y are, in sizes of the box
    "center": np.float32(0),
    "left_top": np.float32(0.5),
    "right_bottom": np.float32(-0.5),
}


@np.errstate(all="ignore")  # sizes may overflow; `_finite` drops such boxes
def gaussian_yolo(output: Floats, head: Any, net_h: int, net_w: int, thresh: float) -> Candidates:
    """Decode the output (c, h, w) of a [Gaussian_yolo]: a class counts less, the less sure the box.

    gaussian_yolo_layer.c:get_gaussian_yolo_detections
    """
    priors = np.array(head.priors, np.float32)
    values, anchor, row, column = _chosen(output, len(priors), 8, thresh)
    _, h, w = output.shape
    sizes = _grown(values[:, 4:8:2], priors[anchor], net_w, net_h)
    x, y = (column + values[:, 0]) / np.float32(w), (row + values[:, 2]) / np.float32(h)
    shift = _TO_CENTRE[head.yolo_point] * sizes
    x, y = x + shift[:, 0], y + shift[:, 1]
    deviation = (values[:, 1] + values[:, 3] + values[:, 5] + values[:, 7]) / 4
    sure = 1 - deviation.astype(np.float64)
    probs = (values[:, 8:9] * values[:, 9:] * sure[:, None]).astype(np.float32)
    return _finite(_stacked(x, y, sizes), values[:, 8], _above(probs, thresh))


@np.errstate(all="ignore")  # sizes may overflow; `_finite` drops such boxes
def region(
    output: Floats,
    head: Any,
    net_h: int,
    net_w: int,
    thresh: float,
    class_map: Sequence[int] | None = None,
) -> Candidates:
    """Decode the output (c, h, w) of a [region], of which the values are in another order.

    output     (c, h, w) by its shape, (h, w, num, 5 + classes) by the order of its values
    class_map  with a tree: of each class of a data set, the class of the tree that it is (the key
               ``map`` of a .data file); the classes of the result are then the data set's

    With a tree and no map, a box has the deepest class of more than .5, whose probability is not
    multiplied by the objectness. region_layer.c:get_region_boxes, hierarchy_predictions
    """
    _, h, w = output.shape
    priors = np.array(head.priors, np.float32)
    values = output.reshape(h * w * len(priors), 5 + head.classes)
    scale = values[:, 4]
    if head.classfix == -1:
        scale = np.where(scale < 0.5, np.float32(0), scale)
    if head.hierarchy is None:
        probs = _above(scale[:, None] * values[:, 5:], thresh)
        chosen = np.flatnonzero(probs.any(1))
        probs = probs[chosen]
    else:
        chosen = np.flatnonzero(scale > np.float32(thresh))
        probs = _down_the_tree(values[chosen, 5:], head.hierarchy)
        if class_map is None:
            probs = _deepest(probs)
        else:
            probs = _above(scale[chosen, None] * probs[:, list(class_map)], thresh)
    values, cell, anchor = values[chosen], chosen // len(priors), chosen % len(priors)
    row, column = _row_and_column(cell, w)
    x = (column + _logistic(values[:, 0])) / np.float32(w)
    y = (row + _logistic(values[:, 1])) / np.float32(h)
    sizes = _grown(values[:, 2:4], priors[anchor], w, h)
    return _finite(_stacked(x, y, sizes), scale[chosen], probs)


@np.errstate(all="ignore")  # sizes may overflow; `_finite` drops such boxes
def detection(output: Floats, head: Any, net_h: int, net_w: int, thresh: float) -> Candidates:
    """Decode the flat output of a [detection]: every box of a cell has the cell's classes.

    Raises NetworkError unless a box has four coordinates.
    detection_layer.c:get_detection_detections
    """
    if head.coords != 4:
        raise NetworkError(f"[detection] has coords={head.coords}; a box to decode has 4")
    cells = head.side * head.side
    classes, scale, boxes = np.split(
        output.reshape(-1), [cells * head.classes, cells * (head.classes + head.num)]
    )
    cell = np.repeat(np.arange(cells), head.num)
    row, column = _row_and_column(cell, head.side)
    boxes = boxes.reshape(-1, 4)
    x = (column + boxes[:, 0]) / np.float32(head.side)
    y = (row + boxes[:, 1]) / np.float32(head.side)
    sizes = boxes[:, 2:] * boxes[:, 2:] if head.sqrt else boxes[:, 2:]
    probs = _above(scale[:, None] * classes.reshape(cells, -1)[cell], thresh)
    found = _finite(_stacked(x, y, sizes), scale, probs)
    return found.taken(found.probs.any(1))


DECODE: dict[str, Callable[[Floats, Any, int, int, float], Candidates]] = {
    "yolo": yolo,
    "Gaussian_yolo": gaussian_yolo,
    "region": region,
    "detection": detection,
}
"""For each kind of head: (output, layer, height and width of the network's input, threshold)."""


def _chosen(
    output: Floats, anchors: int, entry: int, thresh: float
) -> tuple[Floats, NDArray[np.intp], Floats, Floats]:
    """Return the values of the boxes whose ``entry``, the objectness, is above the threshold.

    returns  values (k, entries), anchor (k,), and row and column (k,) float32
    """
    channels, h, w = output.shape
    values = output.reshape(anchors, channels // anchors, h * w)
    cell, anchor = np.nonzero(values[:, entry].T > np.float32(thresh))
    return values[anchor, :, cell], anchor, *_row_and_column(cell, w)


def _row_and_column(cell: NDArray[np.intp], w: int) -> tuple[Floats, Floats]:
    return (cell // w).astype(np.float32), (cell % w).astype(np.float32)


def _grown(values: Floats, priors: Floats, w: int, h: int) -> Floats:
    """Return e ** values (k, 2) times the anchors (k, 2), in shares of w and h; in double, as C."""
    grown = np.exp(values.astype(np.float64)) * priors / np.array([w, h], np.float64)
    return grown.astype(np.float32)


def _logistic(x: Floats) -> Floats:
    return np.float32(1) / (np.float32(1) + np.exp(-x))


def _stacked(x: Floats, y: Floats, sizes: Floats) -> Floats:
    return np.concatenate([np.stack([x, y], 1), sizes], 1)


def _above(probs: Floats, thresh: float) -> Floats:
    """Set to 0 what is not above the threshold."""
    return np.where(probs > np.float32(thresh), probs, np.float32(0))


def _finite(boxes: Floats, objectness: Floats, probs: Floats) -> Candidates:
    """Return the candidates whose box is finite; darknet prints the others as nan or inf."""
    found = Candidates(boxes, objectness, probs)
    finite = np.isfinite(boxes).all(1)
    return found if finite.all() else found.taken(finite)


def _down_the_tree(probs: Floats, tree: Tree) -> Floats:
    """Multiply the probability of each class (k, classes) by those of the classes above it."""
    probs = probs.copy()
    for first, count in tree.groups:
        parent = tree.parents[first]
        if parent >= 0:
            probs[:, first : first + count] *= probs[:, parent, None]
    return probs


def _deepest(probs: Floats) -> Floats:
    """Keep of each row the last class of more than .5, which no class below it exceeds."""
    is_likely = probs > 0.5
    last = probs.shape[1] - 1 - is_likely[:, ::-1].argmax(1)
    kept = np.zeros_like(probs)
    row = np.flatnonzero(is_likely.any(1))
    kept[row, last[row]] = probs[row, last[row]]
    return kept


def suppress(
    found: Candidates, ops: Any, thresh: float = 0.45, kind: str = "default", beta: float = 0.6
) -> Candidates:
    """Set the probability of a class to 0 where a box of the same class and more of it is close.

    ops           kernels, of which ``nms`` is used
    thresh        the overlap that is close: see ``nms`` for it and for ``kind`` and ``beta``
    kind          "objectness" too: by that and by intersection over union, whatever the class
                  (do_nms_obj); the boxes that are left stay as they are, and in their order
    returns       the boxes that still have a class, in the order that darknet's box.c:do_nms_sort
                  leaves them in: sorted by the last class, then by the last but one, ...
    """
    if kind == "objectness":
        return found.taken(ops.nms(found.boxes, found.objectness, thresh=thresh))
    probs = found.probs.copy()
    order = np.arange(len(found))
    counts = (probs > 0).sum(0)
    for k in np.flatnonzero(counts):
        order = _surest_first(order, probs[:, k])
        if counts[k] == 1:
            continue
        rivals = order[: counts[k]]
        keep = ops.nms(found.boxes[rivals], probs[rivals, k], thresh=thresh, kind=kind, beta=beta)
        probs[rivals[~keep], k] = 0
    left = Candidates(found.boxes, found.objectness, probs).taken(order)
    return left.taken(left.probs.any(1))


def _surest_first(order: NDArray[np.intp], probs: Floats) -> NDArray[np.intp]:
    """Return indices sorted by the probabilities of a class; equal ones stay as they are."""
    return order[(-probs[order]).argsort(kind="stable")]


def to_detections(
    found: Candidates, names: Sequence[str], thresh: float, image_w: int, image_h: int
) -> Detections:
    """Return a detection for each box and class of more than ``thresh``, the surest first.

    found  with boxes in 0..1 of the picture, whose width and height are given in pixels
    """
    box, k = np.nonzero(found.probs > np.float32(max(thresh, 0)))
    confidence = found.probs[box, k]
    falling = np.argsort(-confidence, kind="stable")
    size = np.array([image_w, image_h, image_w, image_h], np.float32)
    return Detections(
        to_corners(found.boxes[box[falling]]) * size,
        confidence[falling],
        k[falling].astype(np.int32),
        tuple(names),
    )
