"""The loss of a [softmax]: cross-entropy."""

from __future__ import annotations

from typing import Any

from ..layers.base import Array
from ..layers.softmax import Softmax
from .base import HeadLoss, Moment, Truths, loss
from .truths import vectors


@loss("softmax")
def softmax(ops: Any, layer: Softmax, output: Array, truths: Truths, moment: Moment) -> HeadLoss:
    """Return the cross-entropy; with ``noloss`` nothing, which counts in the mean of the heads.

    A truth of -1234 says nothing of its class, as in a tree whose branch is not taken.
    """
    if layer.noloss:
        return HeadLoss(ops.zeros_like(output), 0.0)
    gradient, cost = ops.softmax_loss(output, vectors(truths, output))
    return HeadLoss(gradient, cost, classification=cost)
