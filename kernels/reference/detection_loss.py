"""The loss of a [detection] (https://arxiv.org/abs/1506.02640); darknet's detection_layer.c."""

import numpy as np

from ..common.overlap import overlap

__all__ = ["detection_loss"]


def detection_loss(
    y,
    objects,
    chosen=None,
    *,
    side,
    num,
    coord_scale=1.0,
    object_scale=1.0,
    noobject_scale=1.0,
    class_scale=1.0,
    sqrt=False,
    rescore=False,
    forced=False,
):
    """Return the gradient of half the squared errors by what the head was given, and figures.

    y        (n, ...) of which a picture's values are three parts: of each of side * side cells the
             classes, ``num`` confidences, and ``num`` boxes x, y, w, h: x and y in shares of the
             cell, w and h of the picture
    objects  (k, 6): index of the picture, class or -1 for none, and x, y, w, h in 0..1 of the
             picture; at most one in a cell
    chosen   (k,) the box that learns each object; None: the one that overlaps it most
    sqrt     y has square roots of w and h
    rescore  confidence learns the IoU, not 1
    forced   the second box learns objects of less than a tenth of the picture, the first others
    returns  the gradient, in the shape of y; and (5,) float64: the sums of the squared gradients of
             boxes, of confidences, of classes, the number of objects, the sum of their IoU
    """
    cells = side * side
    flat = y.reshape(len(y), -1)
    delta = np.zeros_like(flat)
    p_classes, p_sure, p_boxes = _split(flat, cells, num)
    classes, sure, boxes = _split(delta, cells, num)
    aim, cell = _place(objects, side)
    at = objects[:, 0].astype(int), cell
    with np.errstate(all="ignore"):  # what is predicted may be anything
        sure[...] = -noobject_scale * p_sure
        wanted = np.arange(classes.shape[-1]) == objects[:, 1, None]
        classes[at] = class_scale * (wanted - p_classes[at])
        iou, distance = _compare(p_boxes[at], aim, side, sqrt)
        if chosen is None and forced:
            chosen = np.where(aim[:, 2] * aim[:, 3] < 0.1, min(1, num - 1), 0)
        elif chosen is None:
            hits = np.where(iou > 0, iou, 0)
            chosen = np.where(hits.any(1), hits.argmax(1), distance.argmin(1))
        iou = iou[np.arange(len(objects)), chosen]
        at = (*at, chosen)
        sure[at] = object_scale * ((iou if rescore else 1) - p_sure[at])
        if sqrt:
            aim[:, 2:] = np.sqrt(aim[:, 2:])
        boxes[at] = coord_scale * (aim - p_boxes[at])
        squares = [float((part.astype(np.float64) ** 2).sum()) for part in (boxes, sure, classes)]
    return -delta.reshape(y.shape), np.array([*squares, len(objects), iou.sum(dtype=np.float64)])


def _split(values, cells, num):
    """Return views of values (n, ...): classes, confidences, and boxes of each cell."""
    n = len(values)
    boxes_from = values.shape[1] - 4 * num * cells
    sure_from = boxes_from - num * cells
    return (
        values[:, :sure_from].reshape(n, cells, -1),
        values[:, sure_from:boxes_from].reshape(n, cells, num),
        values[:, boxes_from:].reshape(n, cells, num, 4),
    )


def _place(objects, side):
    """Return boxes (k, 4) whose x and y are in shares of their cell, and the cells (k,)."""
    aim = objects[:, 2:].copy()
    aim[:, :2] *= side
    place = np.minimum(aim[:, :2].astype(int), side - 1)
    aim[:, :2] -= place
    return aim, place[:, 1] * side + place[:, 0]


def _compare(boxes, aim, side, sqrt):
    """Return IoU and distance in all four numbers (k, num) of boxes (k, num, 4) and aim (k, 4)."""
    scale = np.array([1 / side, 1 / side, 1, 1], boxes.dtype)
    boxes, aim = boxes * scale, (aim * scale)[:, None]
    if sqrt:
        boxes[..., 2:] **= 2
    distance = np.sqrt(((boxes - aim) ** 2).sum(-1))
    return overlap(boxes, aim), np.where(np.isnan(distance), np.inf, distance)
