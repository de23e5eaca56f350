"""Anchors for a set of boxes: k-means with IoU for nearness (darknet's calc_anchors, do_kmeans).

YOLO9000, section 2, https://arxiv.org/abs/1612.08242
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

MOST_ITERATIONS = 1000
AT_ONCE = 1 << 16  # overlaps computed at a time, to stay in the processor's cache

Sizes = NDArray[np.float64]  # (n, 2): width, height


class Anchors(NamedTuple):
    """The result of `find_anchors`.

    sizes       (k, 2) float64 width, height, the smallest area first
    avg_iou     mean IoU of each box with the anchor nearest to it, 0..1
    iterations  that k-means took
    """

    sizes: Sizes
    avg_iou: float
    iterations: int


def find_anchors(boxes: Sizes, clusters: int, rng: np.random.Generator) -> Anchors:
    """Find the ``clusters`` sizes that stand best for those of the boxes.

    boxes  (n, 2) width and height, above 0, in the unit the anchors are wanted in
    rng    draws the boxes to start from

    As in darknet, k-means runs once, an anchor is the mean of the boxes nearest to it, and one to
    which no box is nearest stays where it is. Unlike there, it starts from boxes that all differ.
    Other seeds end in other optima; avg_iou tells which is better. Raises DataError if fewer than
    ``clusters`` boxes differ.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 2)
    sizes = np.unique(boxes, axis=0)
    if len(sizes) < clusters:
        raise DataError(f"{clusters} clusters, but the boxes have only {len(sizes)} sizes")
    anchors = rng.choice(sizes, clusters, replace=False)
    nearest = np.zeros(len(boxes), np.intp)
    if clusters == 1:
        anchors = _means(boxes, nearest, anchors)
    iterations = 0
    while iterations < MOST_ITERATIONS:
        before, (nearest, _) = nearest, nearest_anchor(boxes, anchors)
        if np.array_equal(before, nearest):
            break
        anchors = _means(boxes, nearest, anchors)
        iterations += 1
    anchors = anchors[np.argsort(anchors.prod(axis=1), kind="stable")]
    return Anchors(anchors, float(nearest_anchor(boxes, anchors)[1].mean()), iterations)


def nearest_anchor(boxes: Sizes, anchors: Sizes) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the index of the anchor that each box overlaps most, centred on it, and that IoU."""
    nearest = np.zeros(len(boxes), np.intp)
    most = np.zeros(len(boxes))
    step = max(1, AT_ONCE // len(anchors))
    width, height = anchors.T[:, :, None]  # (k, 1) each
    for start in range(0, len(boxes), step):
        part = slice(start, start + step)
        w, h = boxes[part].T
        shared = np.minimum(w, width) * np.minimum(h, height)  # (k, boxes)
        iou = shared / (w * h + width * height - shared)
        nearest[part] = iou.argmax(axis=0)
        most[part] = iou.max(axis=0)
    return nearest, most


def _means(boxes: Sizes, nearest: NDArray[np.intp], anchors: Sizes) -> Sizes:
    """Return the mean of the boxes nearest to each anchor, the anchor where there is none."""
    counts = np.bincount(nearest, minlength=len(anchors))
    sums = [np.bincount(nearest, boxes[:, side], len(anchors)) for side in (0, 1)]
    means = np.stack(sums, 1) / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, anchors)
