"""The loss of a [region]: gradient and figures in two launches."""

from typing import Any

import numpy as np

from .device import Counters, Device, Launch, Map, Scratch, struct
from .order import Numbers, contents, order

__all__ = ["region_loss"]

FILE = "region_loss.cu"
THREADS = 128  # of a block, and in region_loss.cu
TRUTH = 8  # 32-bit numbers of a Truth there
PICTURE = 4  # of a Picture
FIGURES = 5


def region_loss(
    device: Device,
    out: tuple[Numbers, Any],
    y: Numbers,
    truths: Any,
    anchors: Any,
    tree: Any = None,
    *,
    count: Any = None,
    warm_up: Any = False,
    factor: Any = None,
    **rules: Any,
) -> list[Launch]:
    """Compute the gradient by what `region` was given, and the figures of the reference.

    out      the gradient, in the form and order of y; and (5,) float32
    y        as `region` gives it: an array (n, c, h, w) float32, or a Map of float32
    truths   (room, 6) as in the reference, in the order of the pictures
    tree     (3, classes) int32, or None
    count    (1,) int32 of the device: how many rows of truths there are; None: all of them
    warm_up  whether boxes are pulled to the anchors; or (1,) int32 of the device, to change it
             from step to step
    factor   (1,) float32 of the device, by which the gradient is multiplied; None: by 1
    """
    gradient, figures = out
    n, c, h, w = y.shape
    boxes = w * h * len(anchors)
    numbers = struct(
        w=w,
        h=h,
        anchors=len(anchors),
        entries=c // len(anchors),
        room=len(truths),
        **_rules(**rules),
        warm_up=int(isinstance(warm_up, bool) and warm_up),
    )
    pad = gradient.pieces * gradient.piece - c if isinstance(gradient, Map) else 0
    places = Scratch(max(1, len(truths)) * TRUTH, np.int32)
    pictures = Scratch(n * PICTURE, np.int32, places.end)
    grid = (-(-boxes // THREADS), n)
    partial = Scratch(grid[0] * n * FIGURES, offset=pictures.end)
    head = (contents(y), order(y))
    give = (*head, truths, count, anchors, tree, numbers, places, pictures)
    now = None if isinstance(warm_up, bool) else warm_up
    learn = (
        *(*head, anchors, tree, places, pictures, numbers, now, factor),
        *(contents(gradient), order(gradient), np.int32(pad), partial, Counters(1), figures),
    )
    return [
        Launch(FILE, "give_truths", (n,), (THREADS,), give),
        Launch(FILE, "region_loss", grid, (THREADS,), learn),
    ]


def _rules(
    coord_scale: float = 1.0,
    object_scale: float = 1.0,
    noobject_scale: float = 1.0,
    class_scale: float = 1.0,
    thresh: float = 0.5,
    classfix: int = 0,
    bias_match: bool = False,
    rescore: bool = False,
    focal_loss: bool = False,
) -> dict[str, int | float]:
    """Return the keys of a [region], in the order of the struct."""
    return {
        "coord_scale": float(coord_scale),
        "object_scale": float(object_scale),
        "noobject_scale": float(noobject_scale),
        "class_scale": float(class_scale),
        "thresh": float(thresh),
        "classfix": int(classfix),
        "bias_match": int(bias_match),
        "rescore": int(rescore),
        "focal_loss": int(focal_loss),
    }
