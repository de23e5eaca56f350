"""Cut a rectangle of the same size out of each picture, mirrored or not."""

__all__ = ["crop", "crop_grad"]


def crop(x, *, places, height, width, scale, offset):
    """Return scale x + offset at the places: per picture of x (top, left, whether mirrored)."""
    out = x.__array_namespace__().empty((*x.shape[:2], height, width), x.dtype)
    for image, (top, left, mirrored) in enumerate(places):
        part = x[image, :, top : top + height, left : left + width]
        out[image] = part[:, :, ::-1] if mirrored else part
    return out * scale + offset


def crop_grad(dy, *, shape, places, scale):
    """Return the gradient of x, of ``shape`` (n, c, h, w)."""
    height, width = dy.shape[2:]
    dx = dy.__array_namespace__().zeros(shape, dy.dtype)
    for image, (top, left, mirrored) in enumerate(places):
        part = dy[image, :, :, ::-1] if mirrored else dy[image]
        dx[image, :, top : top + height, left : left + width] = part * scale
    return dx
