"""The loss of a [yolo]; yolo_layer.c:forward_yolo_layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers.base import Array
from ..layers.yolo import AnchorHead, Yolo
from .base import HeadLoss, Moment, Truths, loss
from .truths import is_placed, rows

RULES = (
    *("ignore_thresh", "truth_thresh", "iou_thresh", "iou_thresh_kind", "iou_loss"),
    *("iou_normalizer", "obj_normalizer", "cls_normalizer", "max_delta"),
    *("label_smooth_eps", "objectness_smooth"),
)
KEYS = (*RULES, "focal_loss", "new_coords")


@loss("yolo")
def yolo(ops: Any, layer: Yolo, output: Array, truths: Truths, moment: Moment) -> HeadLoss:
    """Return what the boxes did wrong; truths of classes or places that there are not are left out.

    The cost is the sum of the squared deltas; but where ``show_details`` is set and ``iou_loss`` is
    not "mse" the box's part of it is the mean lack of IoU, of GIoU for "giou", as darknet has it.
    """
    keys = numbers(layer, moment, *KEYS)
    gradient, figures = ops.yolo_loss(output, *arrays(layer, truths), **keys)
    moment.rejection.apply(gradient, 5 + layer.classes, moment.options, moment.iteration)
    return told(layer, gradient, figures.tolist(), settle(gradient, layer, 4))


def told(
    layer: AnchorHead, gradient: Array, figures: Sequence[float], parts: tuple[float, float, float]
) -> HeadLoss:
    """Return the loss of figures, as `yolo_loss` gives them, and of what `settle` gives."""
    count, iou, overlap = figures
    box, objectness, classes = parts
    if isinstance(layer, Yolo) and layer.show_details and layer.iou_loss != "mse":
        box = layer.iou_normalizer * (count - overlap) / max(1, count)
        objectness, classes = layer.obj_normalizer * objectness, layer.obj_normalizer * classes
    return HeadLoss.of(gradient, (box, objectness, classes), count, iou)


def arrays(
    layer: AnchorHead, truths: Truths
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32] | None]:
    """Return the truths that count (k, 6), all anchors (t, 2), and the weights of the classes."""
    found = rows(truths, layer.max)
    own = np.arange(layer.classes) if layer.map is None else np.array(layer.map)
    is_class = (found[:, 1] >= 0) & (found[:, 1] < min(len(own), layer.classes))
    found = found[is_class & is_placed(found)]
    found[:, 1] = own[found[:, 1].astype(int)]
    weights = None
    if layer.counters_per_class:
        counts = np.maximum(np.array(layer.counters_per_class, np.float32), 1)
        weights = np.minimum(counts.max() / counts, np.float32(layer.max_delta))
    return found, np.array(layer.all_priors, np.float32), weights


def numbers(layer: AnchorHead, moment: Moment, *names: str) -> dict[str, Any]:
    """Return the keyword arguments of the kernel: the keys named, mask, and size of the input."""
    keys = {name: getattr(layer, name) for name in names}
    return keys | {"mask": layer.indices, "width": moment.image.w, "height": moment.image.h}


def settle(gradient: Array, layer: AnchorHead, entries: int) -> tuple[float, float, float]:
    """Return the sums of the squares of boxes, objectness and classes, and normalize in place.

    entries  of a box before its objectness
    """
    _, c, h, w = gradient.shape
    by_entry = gradient.reshape(-1, c // len(layer.indices), h * w)
    squares = np.einsum("nek,nek->e", by_entry, by_entry)
    if layer.delta_normalizer != 1:
        gradient *= np.float32(layer.delta_normalizer)
    parts = np.split(squares, [entries, entries + 1])
    box, objectness, classes = (float(part.sum(dtype=np.float64)) for part in parts)
    return box, objectness, classes
