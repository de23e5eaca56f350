"""Truths in the form that the kernels take."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..layers.base import Array
from .base import Truths


def rows(truths: Truths, most: int) -> NDArray[np.float32]:
    """Return the first ``most`` truths of each picture: (k, 6) picture, class, x, y, w, h."""
    return np.concatenate(
        [np.insert(boxes[:most], 0, picture, 1) for picture, boxes in enumerate(truths)],
        dtype=np.float32,
    )


def is_placed(found: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which of ``found`` (k, 6) have a box of some size whose centre is in the picture."""
    boxes = found[:, 2:]
    return np.asarray((boxes > 0).all(1) & (boxes[:, :2] <= 1).all(1))


def vectors(truths: Truths, output: Array) -> NDArray[np.float32]:
    """Return the vectors of a classifier in the shape of the output (n, ...).

    Raises NetworkError unless they are as long.
    """
    size = output[0].size
    for truth in truths:
        if truth.shape != (size,):
            raise NetworkError(
                f"expected a truth of {size} values, one for each output of [softmax] or [cost]; "
                f"got an array of shape {truth.shape}"
            )
    return np.stack(truths).reshape(output.shape)
