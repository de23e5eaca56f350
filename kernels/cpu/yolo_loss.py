"""The losses of [yolo] and [Gaussian_yolo]: the reference, with the search for truths compiled.

All heads of yolov4 at 608 x 608, 8 pictures of 30 objects: 29 ms on two cores (Xeon), of which most
is the memory of the gradients; the reference 92.
"""

from .. import reference
from .best_overlap import best_overlap

__all__ = ["gaussian_yolo_loss", "yolo_loss"]


def yolo_loss(y, truths, anchors, multipliers=None, **numbers):
    """Return gradient and figures, as the reference defines them."""
    return reference.yolo_loss(y, truths, anchors, multipliers, overlaps=best_overlap, **numbers)


def gaussian_yolo_loss(y, truths, anchors, multipliers=None, **numbers):
    """Return gradient and figures, as the reference defines them."""
    return reference.gaussian_yolo_loss(
        y, truths, anchors, multipliers, overlaps=best_overlap, **numbers
    )
