"""The loss of a [detection]: gradient and figures in one launch."""

import math
from typing import Any

import numpy as np

from .device import Counters, Device, Launch, Map, Scratch, struct
from .order import Numbers, contents, order

__all__ = ["detection_loss"]

THREADS = 128  # of a block, and in detection_loss.cu
FIGURES = 5


def detection_loss(
    device: Device,
    out: tuple[Numbers, Any],
    y: Numbers,
    objects: Any,
    chosen: Any = None,
    *,
    side: int,
    num: int,
    coord_scale: float = 1.0,
    object_scale: float = 1.0,
    noobject_scale: float = 1.0,
    class_scale: float = 1.0,
    sqrt: bool = False,
    rescore: bool = False,
    forced: bool = False,
    count: Any = None,
    factor: Any = None,
) -> list[Launch]:
    """Compute the gradient of half the squared errors, and the figures of the reference.

    out      the gradient, in the form of y; and (5,) float32
    y        an array (n, ...) float32, or a Map of float32
    objects  (room, 6) as in the reference
    chosen   (room,) int32, or None; -1 stands for the one that overlaps the object most
    count    (1,) int32 of the device: how many rows of objects there are; None: all of them
    factor   (1,) float32 of the device, by which the gradient is multiplied; None: by 1
    """
    gradient, figures = out
    n, size = y.shape[0], math.prod(y.shape[1:])
    rules = struct(
        side=side,
        num=num,
        classes=size // (side * side) - 5 * num,
        room=len(objects),
        coord_scale=float(coord_scale),
        object_scale=float(object_scale),
        noobject_scale=float(noobject_scale),
        class_scale=float(class_scale),
        sqrt=int(sqrt),
        rescore=int(rescore),
        forced=int(forced),
    )
    padded = isinstance(gradient, Map)
    pixels = gradient.h * gradient.w if padded else 0
    channels = gradient.c if padded else 0
    pad = gradient.pieces * gradient.piece - gradient.c if padded else 0
    sizes = map(np.int32, (pixels, channels, pad))
    args = (contents(y), order(y), objects, count, chosen, rules, factor)
    outs = (contents(gradient), order(gradient), *sizes)
    sums = (Scratch(n * FIGURES), Counters(1), figures)
    return [Launch("detection_loss.cu", "detection_loss", (n,), (THREADS,), (*args, *outs, *sums))]
