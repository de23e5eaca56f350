"""The losses of vectors: of a [softmax] and of a [cost]."""

import math
from typing import Any

import numpy as np

from .device import Counters, Device, Launch, Map, Scratch, over
from .order import Numbers, contents, order

__all__ = ["cost_loss", "softmax_loss"]

KINDS = {"sse": "Squared", "masked": "Masked", "smooth": "Smooth"}


def cost_loss(
    device: Device,
    out: tuple[Numbers, Any],
    x: Numbers,
    truth: Numbers,
    *,
    kind: str = "sse",
    scale: float = 1.0,
    factor: Any = None,
) -> list[Launch]:
    """Compute the gradient of a distance, and the distance.

    out       the gradient, and the cost, an array of one float32
    x, truth  and the gradient: each a Map of float32 or an array (n, ...) in the order of planes
    factor    (1,) float32 of the device, by which the gradient is multiplied too; None: by 1
    """
    return _loss(KINDS[kind], out, x, truth, scale, factor)


def softmax_loss(
    device: Device, out: tuple[Numbers, Any], y: Numbers, truth: Numbers, *, factor: Any = None
) -> list[Launch]:
    """Compute the gradient of the cross-entropy by what a softmax was given, and the cost.

    Arguments are as in `cost_loss`.
    """
    return _loss("CrossEntropy", out, y, truth, 1.0, factor)


def _loss(
    loss: str, out: tuple[Numbers, Any], x: Numbers, truth: Numbers, scale: float, factor: Any
) -> list[Launch]:
    gradient, cost = out
    if isinstance(gradient, Map):
        cells, channels, pitch = gradient.h * gradient.w, gradient.c, gradient.pitch
        padded = gradient.pieces * gradient.piece
    else:
        cells, channels = 1, math.prod(gradient.shape[1:])
        pitch = padded = channels
    count = gradient.shape[0] * cells * padded
    grid = over(count)
    partial = Scratch(grid[0][0])
    sizes = map(np.int32, (pitch, cells, channels, padded, count))
    args = (contents(x), order(x), contents(truth), order(truth), contents(gradient), *sizes)
    sums = (np.float32(scale), factor, partial, Counters(1), cost)
    return [Launch("cost_loss.cu", f"vector_loss<{loss}>", *grid, (*args, *sums))]
