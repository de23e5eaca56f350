"""What the detection heads make of the map before them; decoding it to boxes comes later.

A map (n, a * entries, h, w) holds, for each of a anchors, ``entries`` planes. The order of entries
is x, y, w, h, objectness, classes; for [Gaussian_yolo] mean and deviation of each coordinate come
in turn. w and h stay as they are: their exponential, or square, is taken with the anchors.
"""

from ..common.activations import ACTIVATIONS
from .softmax import softmax

__all__ = ["gaussian_yolo", "region", "region_inverse", "yolo"]

logistic = ACTIVATIONS["logistic"].value


def yolo(x, *, classes, scale_x_y=1.0, new_coords=False):
    """Return the activated map of a [yolo] (darknet's forward_yolo_layer).

    x           (n, a * (5 + classes), h, w)
    scale_x_y   x and y become scale_x_y * v - (scale_x_y - 1) / 2, so that they reach cell borders
    new_coords  x is activated already (Scaled-YOLOv4, https://arxiv.org/abs/2011.08036)
    """
    y = _split(x, 5 + classes)
    if not new_coords:
        y[:, :2] = logistic(y[:, :2])
        y[:, 4:] = logistic(y[:, 4:])
    y[:, :2] = _stretch(y[:, :2], scale_x_y)
    return y.reshape(x.shape)


def gaussian_yolo(x, *, classes, scale_x_y=1.0):
    """Return the activated map of a [Gaussian_yolo] (Choi et al. 2019, arxiv.org/abs/1904.04620).

    x  (n, a * (9 + classes), h, w); all but the means of w and h, entries 4 and 6, are activated
    """
    y = _split(x, 9 + classes)
    for part in (slice(0, 4), slice(5, 6), slice(7, None)):
        y[:, part] = logistic(y[:, part])
    y[:, 0:3:2] = _stretch(y[:, 0:3:2], scale_x_y)
    return y.reshape(x.shape)


def region(x, *, classes, counts=()):
    """Return the output of a [region] (YOLO9000), whose order is that of pixels, not of planes.

    x        (n, a * (5 + classes), h, w)
    counts   lengths of the runs of classes that make a softmax each; classes beyond stay raw
    returns  the shape of x; each picture's values are in the order (h, w, a, 5 + classes),
             of which only objectness and classes are activated
    """
    n, _, h, w = x.shape
    entries = 5 + classes
    pixels = x.reshape(n, -1, entries, h, w).transpose(0, 3, 4, 1, 2)
    y = pixels.copy().reshape(-1, entries)
    y[:, 4] = logistic(y[:, 4])
    if counts:
        y[:, 5:] = softmax(y[:, 5:], counts=counts)
    return y.reshape(x.shape)


def region_inverse(y, *, classes):
    """Return the values of y, which are in the order of a [region]'s output, in that of its input.

    y  in the shape of a map (n, a * (5 + classes), h, w), in the order (h, w, a, 5 + classes)
    """
    n, _, h, w = y.shape
    planes = y.reshape(n, h, w, -1, 5 + classes).transpose(0, 3, 4, 1, 2)
    return planes.copy().reshape(y.shape)


def _split(x, entries):
    """Copy x to (n * a, entries, h, w)."""
    return x.copy().reshape(-1, entries, *x.shape[2:])


def _stretch(v, scale):
    return v * scale - 0.5 * (scale - 1)
