"""The loss of a [yolo] (https://arxiv.org/abs/1804.02767); darknet's yolo_layer.c."""

import numpy as np

from .best_overlap import best_overlap
from .positives import LIKELY, Task, find, locate, measure, pull, search, tame, targets, teach

__all__ = ["yolo_loss"]

RUNAWAY = 100.0  # a box learns some tenths; the slope of e^w makes 1e35 of it within two steps


def yolo_loss(y, truths, anchors, multipliers=None, *, overlaps=best_overlap, **numbers):
    """Return the gradient of the loss by what `yolo` was given, and what the figures need.

    y            as `yolo` gives it: (n, a * (5 + classes), h, w)
    truths       (k, 6): index of the picture, class, x, y, w, h; those of a picture in their order,
                 with x, y in 0..1, w, h above 0 and classes in 0..classes - 1
    anchors      (t, 2): w, h of all anchors of the network, in pixels
    multipliers  (classes,): weights of the classes, or None
    overlaps     a device's own `best_overlap`
    numbers      mask, width, height and the others of `Task`
    returns      the gradient, like y; and (3,) float64: how many truths were given to a box of this
                 head, the sum of their IoU, and that of the overlap whose lack is the loss (GIoU
                 for iou_loss "giou", else IoU)
    """
    grid = y.shape[3], y.shape[2]
    task = Task(truths=truths, anchors=anchors, multipliers=multipliers, grid=grid, **numbers)
    v = y.reshape(len(y) * len(task.mask), -1, grid[0] * grid[1])
    gradient = np.zeros(v.shape, v.dtype)  # not zeros_like, which writes all of it
    with np.errstate(all="ignore"):  # what is predicted may be anything
        sizes = 4 * v[:, 2:4] ** 2 if task.new_coords else np.exp(v[:, 2:4])
        boxes = locate(v[:, :2], sizes, task)
        best, which = search(boxes, task, overlaps)
        likely = np.where((v[:, 5:] > LIKELY).any(1), best, 0)
        gradient[:, 4] = -_background(v[:, 4], likely, task)
        positives = find(best, which, task)
        seen = boxes[positives.map, :, positives.cell]
        change = _box_change(v[positives.map, :4, positives.cell], seen, positives, task)
        teach(v, gradient, positives, change, task)
        figures = measure(seen, positives, task)
    return gradient.reshape(y.shape), figures


def _background(objectness, best, task):
    """Return what the objectness of every box learns: to be 0, but on a truth nothing.

    With ``objectness_smooth`` what is on a truth learns its IoU, if that is more.
    """
    objectness = np.where(np.isfinite(objectness), objectness, 0)
    learned = task.obj_normalizer * -objectness
    nothing = np.zeros_like(learned)
    if task.objectness_smooth:
        nothing = np.maximum(learned, task.obj_normalizer * (best - objectness))
    return np.where(best > task.ignore_thresh, nothing, learned)


def _box_change(values, seen, positives, task):
    """Return what x, y, w, h of the positives learn, (k, 4), from values and seen boxes (k, 4)."""
    normalizer = (task.iou_normalizer * positives.weight)[:, None]
    if task.iou_loss != "mse":
        change = pull(seen, positives, values[:, 2:], task) * normalizer
        return tame(change, task, RUNAWAY)
    centres, sizes = targets(positives, task)
    sizes = np.sqrt(sizes / 4) if task.new_coords else np.log(sizes)
    scale = 2 - positives.box[:, 2:3] * positives.box[:, 3:]
    return scale * (np.concatenate([centres, sizes], -1) - values) * normalizer
