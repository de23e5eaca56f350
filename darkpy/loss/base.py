"""What a loss is: a function of what a head puts out and of what is true."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers.base import Array, Shape
from ..net import NetOptions
from .rejection import Rejection

# One array a picture: of a detector (k, 5) class, x, y, w, h in 0..1; of a classifier, whose heads
# are [softmax] and [cost], a vector as long as the head's output.
Truths = Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class HeadLoss:
    """The loss of one head for one mini-batch.

    gradient   of the loss by the head's input, in the shape of its output: darknet's l.delta with
               the sign turned, since darknet adds it
    cost       darknet's *l.cost: of all pictures of the mini-batch together
    box, objectness, classification   its parts
    count      truths that an anchor of this head was given
    iou        mean IoU of the head's boxes with those; nan if there is none
    """

    gradient: Array
    cost: float
    box: float = 0.0
    objectness: float = 0.0
    classification: float = 0.0
    count: int = 0
    iou: float = float("nan")

    @classmethod
    def of(
        cls, gradient: Array, parts: tuple[float, float, float], count: float, overlaps: float
    ) -> HeadLoss:
        """Make one whose cost is the sum of its three parts; overlaps is the IoU of all count."""
        iou = overlaps / count if count else math.nan
        return cls(gradient, sum(parts), *parts, int(count), iou)

    @classmethod
    def of_squares(cls, gradient: Array, figures: NDArray[np.float64]) -> HeadLoss:
        """Make one of what `region_loss` and `detection_loss` return: the cost is the squares."""
        box, objectness, classes, count, overlaps = figures.tolist()
        return cls.of(gradient, (box, objectness, classes), count, overlaps)


@dataclass(frozen=True)
class Moment:
    """Where in the training a loss is asked for.

    image      shape of the network's input, which may change from iteration to iteration
    options    the keys of [net]
    seen       pictures before this mini-batch, and its own: darknet's *net.seen
    iteration  updates done
    rejection  what the training remembers of the [yolo] heads' deltas, to be passed on
    seed       of the training, for a loss that draws
    """

    image: Shape
    options: NetOptions = field(default_factory=NetOptions)
    seen: int = 0
    iteration: int = 0
    rejection: Rejection = field(default_factory=Rejection)
    seed: int = 0


SETTLED = 1 << 40  # pictures seen: the warm-ups of [region] and [detection] are over
Loss = Callable[[Any, Any, Array, Truths, Moment], HeadLoss]
LOSSES: dict[str, Loss] = {}


def loss(section: str) -> Callable[[Loss], Loss]:
    """Register the loss of a section: f(ops, layer, output, truths, moment) -> HeadLoss.

    ops     the kernels of a device
    output  of the head, as its forward gives it in training: (n, c, h, w)
    """

    def register(function: Loss) -> Loss:
        LOSSES[section] = function
        return function

    return register
