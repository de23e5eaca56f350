"""The loss of a [cost]: a distance."""

from __future__ import annotations

from typing import Any

from ..layers.base import Array
from ..layers.cost import Cost
from .base import HeadLoss, Moment, Truths, loss
from .truths import vectors


@loss("cost")
def cost(ops: Any, layer: Cost, output: Array, truths: Truths, moment: Moment) -> HeadLoss:
    """Return the distance of the layer before from the truth; ``scale`` is of the gradient alone.

    ``ratio`` has no effect: darknet compares with a threshold that it has set to 0.
    """
    truth = vectors(truths, output)
    return HeadLoss(*ops.cost_loss(output, truth, kind=layer.type, scale=layer.scale))
