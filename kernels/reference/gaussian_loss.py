"""The loss of a [Gaussian_yolo] (https://arxiv.org/abs/1904.04620); gaussian_yolo_layer.c."""

import math

import numpy as np

from .best_overlap import best_overlap
from .positives import (
    LIKELY,
    POINTS,
    Task,
    find,
    learn_classes,
    locate,
    measure,
    pull,
    search,
    tame,
    targets,
    teach,
)

__all__ = ["gaussian_yolo_loss"]

FLOOR = 0.3  # added to a deviation


def gaussian_yolo_loss(y, truths, anchors, multipliers=None, *, overlaps=best_overlap, **numbers):
    """Return the gradient of the loss by what `gaussian_yolo` was given, and what figures need.

    y        as `gaussian_yolo` gives it: (n, a * (9 + classes), h, w)

    The rest is as in `yolo_loss`.
    """
    grid = y.shape[3], y.shape[2]
    task = Task(truths=truths, anchors=anchors, multipliers=multipliers, grid=grid, **numbers)
    v = y.reshape(len(y) * len(task.mask), -1, grid[0] * grid[1])
    gradient = np.zeros(v.shape, v.dtype)
    with np.errstate(all="ignore"):  # what is predicted may be anything
        boxes = locate(v[:, 0:4:2], np.exp(v[:, 4:8:2]), task)
        boxes[:, :2] -= POINTS[task.yolo_point] * boxes[:, 2:]
        best, which = search(boxes, task, overlaps)
        likely = np.where((v[:, 9:] > LIKELY).any(1), best, 0)
        _background(v, gradient, likely, which, task)
        positives = find(best, which, task)
        seen = boxes[positives.map, :, positives.cell]
        change = _box_change(v[positives.map, :8, positives.cell], seen, positives, task)
        teach(v, gradient, positives, change, task)
        figures = measure(seen, positives, task)
    return gradient.reshape(y.shape), figures


def _background(v, gradient, best, which, task):
    """Write into the gradient what every box learns: to be empty, but on a truth nothing.

    With ``objectness_smooth`` what is on a truth learns the square of its IoU, and its class.
    """
    on = best > task.ignore_thresh
    aim = np.where(on, best * best, 0) if task.objectness_smooth else np.where(on, v[:, 8], 0)
    gradient[:, 8] = task.obj_normalizer * (v[:, 8] - aim)
    if task.objectness_smooth:
        map_, cell = np.nonzero(on)
        at = map_, slice(9, None), cell
        classes = task.truths[which[map_, cell], 1].astype(int)
        anew = np.ones(len(classes), bool)
        gradient[at] = -learn_classes(np.zeros_like(v[at]), v[at], classes, anew, task)


def _box_change(values, seen, positives, task):
    """Return what mean and deviation of x, y, w, h in turn learn, (k, 8), from values (k, 8).

    It is the slope of the logarithm of a normal density, times nearly half; where iou_loss is not
    "mse" the means learn from the overlap of the boxes seen (k, 4) instead.
    """
    mean, deviation = values[:, 0::2], values[:, 1::2]
    centres, sizes = targets(positives, task)
    away = (np.concatenate([centres, np.log(sizes)], -1) - mean) / deviation
    density = np.exp(away * away / -2) / (math.sqrt(2 * math.pi) * (deviation + FLOOR))
    scale = 2 - positives.box[:, 2:3] * positives.box[:, 3:]
    share = density / (density + 1e-9) * scale / 2
    change = np.empty_like(values)
    change[:, 0::2] = share * away / deviation
    change[:, 1::2] = share * (away * away / deviation - 1 / (deviation + FLOOR))
    if task.iou_loss != "mse":
        change[:, 0::2] = pull(seen, positives, mean[:, 2:], task)
    change[:, 0::2] *= (task.iou_normalizer * positives.weight)[:, None]
    change[:, 1::2] *= task.uc_normalizer
    return tame(change, task)
