"""Make planes of a picture, resized (darknet's image.c: resize_image)."""

from typing import NamedTuple

import numpy as np

__all__ = ["resize_picture"]


def resize_picture(image, *, h, w, out=None, convert=None):
    """Return a picture as planes of h and w: bilinear, corners on corners.

    image    (h0, w0, c) uint8, colours blue, green, red
    out      (c, h, w) float32 to write into, if given; cells of a row without gaps
    convert  makes other colours of pixels (rows, columns, c) uint8, if given; c of the result is
             that of what it returns
    returns  (c, h, w) float32 in 0..1, the last colour first

    The order of arithmetic is darknet's, along the rows first, then the columns; its slip is not
    made: where rounding puts the last row a hair above its place, darknet leaves that row nearly
    black. Only the pixels that the result needs are converted, so that a large picture costs
    little.
    """
    xp = image.__array_namespace__()
    rows, columns = places(image.shape[0], h), places(image.shape[1], w)

    def planes(row, column):
        chosen = image[xp.asarray(row)][:, xp.asarray(column)]
        chosen = convert(chosen) if convert else chosen
        return chosen.transpose(2, 0, 1)[::-1].astype(np.float32) / np.float32(255)

    def along(row):
        low, high = planes(row, columns.low), planes(row, columns.high)
        return _mixed(low, high, xp.asarray(columns.fraction))

    found = _mixed(along(rows.low), along(rows.high), xp.asarray(rows.fraction)[:, None])
    if out is None:
        return found
    out[...] = found
    return out


class Places(NamedTuple):
    """Between which two old rows or columns each new one lies, and how far from the first."""

    low: np.ndarray
    high: np.ndarray
    fraction: np.ndarray


def places(old, new):
    """Return where each of ``new`` rows or columns lies among ``old`` ones."""
    at = np.arange(new, dtype=np.float32) * (np.float32(old - 1) / np.float32(max(1, new - 1)))
    if old == new:  # nothing to mix: every place is its own
        at = np.arange(new, dtype=np.float32)
    low = at.astype(np.intp)
    fraction = at - low.astype(np.float32)
    low[-1], fraction[-1] = old - 1, 0  # the last is the last, whatever rounding says
    return Places(low, np.minimum(low + 1, old - 1), fraction)


def _mixed(low, high, fraction):
    return low * (1 - fraction) + high * fraction
