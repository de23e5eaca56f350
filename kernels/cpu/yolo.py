"""The map of a [yolo], activated by threads."""

from .. import reference
from .activate import activate
from .layout import dense

__all__ = ["yolo"]


def yolo(x, *, classes, scale_x_y=1.0, new_coords=False):
    """Return the activated map, as the reference defines it.

    What is activated already, or is not float32 without gaps, goes to the reference.
    """
    if new_coords or not dense(x):
        return reference.yolo(x, classes=classes, scale_x_y=scale_x_y, new_coords=new_coords)
    y = activate(x, "logistic")
    raw, out = (each.reshape(-1, 5 + classes, *x.shape[2:]) for each in (x, y))
    out[:, 2:4] = raw[:, 2:4]
    if scale_x_y != 1:
        out[:, :2] *= scale_x_y
        out[:, :2] -= 0.5 * (scale_x_y - 1)
    return y
