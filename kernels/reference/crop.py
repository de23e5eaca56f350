"""Cut a rectangle of the same size out of each picture, mirrored or not.

A place is three whole numbers: top, left, and 1 where the rectangle is mirrored.
"""

import numpy as np

__all__ = ["crop", "crop_grad", "crop_places"]


def crop_places(rng, *, count, down, right, flip):
    """Return places (count, 3) float32 of numpy, drawn so that every device cuts alike.

    down, right  the largest top and left; flip  mirror every other one
    """
    tops = rng.integers(0, down, count, endpoint=True)
    lefts = rng.integers(0, right, count, endpoint=True)
    mirrored = rng.integers(0, 2, count) * flip
    return np.stack([tops, lefts, mirrored], 1).astype(np.float32)


def crop(x, places, *, height, width, scale, offset):
    """Return scale x + offset at the places (n, 3), one for each picture of x."""
    out = x.__array_namespace__().empty((*x.shape[:2], height, width), x.dtype)
    for image, (top, left, mirrored) in enumerate(places.astype(int).tolist()):
        part = x[image, :, top : top + height, left : left + width]
        out[image] = part[:, :, ::-1] if mirrored else part
    return out * scale + offset


def crop_grad(dy, places, *, shape, scale):
    """Return the gradient of x, of ``shape`` (n, c, h, w)."""
    height, width = dy.shape[2:]
    dx = dy.__array_namespace__().zeros(shape, dy.dtype)
    for image, (top, left, mirrored) in enumerate(places.astype(int).tolist()):
        part = dy[image, :, :, ::-1] if mirrored else dy[image]
        dx[image, :, top : top + height, left : left + width] = part * scale
    return dx
