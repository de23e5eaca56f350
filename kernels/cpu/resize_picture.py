"""Pictures as resized planes, by code of the engine: Numba is not loaded for it."""

from functools import lru_cache

import numpy as np

from .. import reference
from ..reference.resize_picture import places
from .engine import store
from .engine.records import CELL, LANES, kernel
from .engine.team import native

__all__ = ["resize_picture"]

DRIVER = "picture.resize"
SHARES = np.arange(256, dtype=np.float32) / np.float32(255)


def resize_picture(image, *, h, w, out=None, convert=None):
    """Resize as the reference defines it, to the same bytes.

    A picture of another dtype or number of channels, or to be converted, goes to the reference.
    """
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3) or convert:
        return reference.resize_picture(image, h=h, w=w, out=out, convert=convert)
    old_h, old_w, c = image.shape
    down, right, colour = image.strides  # of any view
    if out is None:
        out = np.empty((c, h, w), np.float32)
    mix = kernel("picture", "mix", whole=w >= LANES, rest=w % LANES)
    code = store.addresses([DRIVER, mix])
    rows, columns = table(old_h, h, down), table(old_w, w, right)
    stride = -(-w // LANES) * CELL
    scratch = np.empty(2 * c * stride // 4, np.float32)
    plane, row, _ = out.strides
    args = np.array(
        [
            *(code[mix], image.ctypes.data, c, colour, *(one.ctypes.data for one in rows)),
            *(one.ctypes.data for one in columns),
            *(SHARES.ctypes.data, out.ctypes.data, plane, row, h, w, stride),
        ],
        np.int64,
    )
    native(code[DRIVER])(args.ctypes.data, 0, scratch.ctypes.data)
    return out


@lru_cache(256)
def table(old, new, step):
    """Return where each new row or column comes from.

    step     bytes from an old one to the next
    returns  (new, 2) int64, bytes to the old one before and to that after; (new, 2) float32, the
             share of each
    """
    found = places(old, new)
    shares = np.stack([1 - found.fraction, found.fraction], 1)
    return np.stack([found.low, found.high], 1).astype(np.int64) * step, shares
