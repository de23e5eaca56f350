"""The loss of a [detection]: squared errors; darknet's detection_layer.c."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..layers.base import Array
from ..layers.detection import Detection
from ..randomness import generator
from .base import HeadLoss, Moment, Truths, loss
from .truths import is_placed, rows

WARM_UP = 64000  # pictures in which ``random`` chooses the box that learns
LEAST = 0.001  # sides of an object, of the picture's
RULES = (
    *("side", "num", "sqrt", "rescore", "forced"),
    *("coord_scale", "object_scale", "noobject_scale", "class_scale"),
)


@loss("detection")
def detection(
    ops: Any, layer: Detection, output: Array, truths: Truths, moment: Moment
) -> HeadLoss:
    """Return what the boxes did wrong. A cell has one object: the first that is in it.

    Raises NetworkError unless a box has four coordinates.
    """
    require_boxes(layer)
    objects = first_of_cells(layer, rows(truths, layer.max))
    chosen = draw_boxes(layer, moment, len(objects))
    numbers = {name: getattr(layer, name) for name in RULES}
    return HeadLoss.of_squares(*ops.detection_loss(output, objects, chosen, **numbers))


def require_boxes(layer: Detection) -> None:
    """Raise NetworkError unless a box has four coordinates."""
    if layer.coords != 4:
        raise NetworkError(f"[detection] has coords={layer.coords}; a box to train has 4")


def draw_boxes(layer: Detection, moment: Moment, count: int) -> NDArray[np.int64] | None:
    """Return which box is to learn each of ``count`` objects, if chance is to say so."""
    if not layer.random or moment.seen >= WARM_UP:
        return None
    return generator(moment.seed, "detection", moment.seen).integers(0, layer.num, count)


def first_of_cells(layer: Detection, found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first of ``found`` (k, 6) in each cell (darknet's data.c:fill_truth_region)."""
    found = found[is_placed(found) & (found[:, 4:] >= LEAST).all(1)]
    found[(found[:, 1] < 0) | (found[:, 1] >= layer.classes), 1] = -1  # a box without a class
    cells = np.minimum(found[:, 2:4] * layer.side, layer.side - 1).astype(int)
    _, first = np.unique(np.column_stack([found[:, 0], cells]), axis=0, return_index=True)
    return found[np.sort(first)]
