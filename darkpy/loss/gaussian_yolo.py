"""The loss of a [Gaussian_yolo]; gaussian_yolo_layer.c:forward_gaussian_yolo_layer."""

from __future__ import annotations

from typing import Any

from ..layers.base import Array
from ..layers.gaussian_yolo import GaussianYolo
from .base import HeadLoss, Moment, Truths, loss
from .yolo import RULES, arrays, numbers, settle, told

KEYS = (*RULES, "uc_normalizer", "yolo_point")


@loss("Gaussian_yolo")
def gaussian_yolo(
    ops: Any, layer: GaussianYolo, output: Array, truths: Truths, moment: Moment
) -> HeadLoss:
    """Return what the boxes did wrong; the cost is the sum of the squared deltas."""
    keys = numbers(layer, moment, *KEYS)
    gradient, figures = ops.gaussian_yolo_loss(output, *arrays(layer, truths), **keys)
    return told(layer, gradient, figures.tolist(), settle(gradient, layer, 8))
