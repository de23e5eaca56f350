"""The loss of a [Gaussian_yolo]; gaussian_yolo_layer.c:forward_gaussian_yolo_layer."""

from __future__ import annotations

from typing import Any

from ..layers.base import Array
from ..layers.gaussian_yolo import GaussianYolo
from .base import HeadLoss, Moment, Truths, loss
from .yolo import RULES, arrays, numbers, settle


@loss("Gaussian_yolo")
def gaussian_yolo(
    ops: Any, layer: GaussianYolo, output: Array, truths: Truths, moment: Moment
) -> HeadLoss:
    """Return what the boxes did wrong; the cost is the sum of the squared deltas."""
    keys = numbers(layer, moment, *RULES, "uc_normalizer", "yolo_point")
    gradient, figures = ops.gaussian_yolo_loss(output, *arrays(layer, truths), **keys)
    count, iou, _ = figures.tolist()
    return HeadLoss.of(gradient, settle(gradient, layer, 8), count, iou)
