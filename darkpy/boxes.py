"""Boxes in arrays: their two forms, how much they overlap, and where they lie in the picture.

A box is x, y, w, h, its centre and its size, as everywhere in darknet; `to_corners` and
`to_centres` change the form. The formulas are those of darknet's box.c, in the arrays' own dtype:
float32 in, float32 out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .kernels.common import overlap as kernels

Floats = NDArray[np.floating[Any]]


def to_corners(boxes: Floats) -> Floats:
    """Return boxes (..., 4) x, y, w, h as left, top, right, bottom."""
    x, y, w, h = np.moveaxis(boxes, -1, 0)
    return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)


def to_centres(corners: Floats) -> Floats:
    """Return boxes (..., 4) left, top, right, bottom as x, y, w, h."""
    left, top, right, bottom = np.moveaxis(corners, -1, 0)
    return np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], -1)


def iou(a: Floats, b: Floats) -> Floats:
    """Return the intersection over union of each of a (n, 4) with each of b (m, 4): (n, m)."""
    return overlap(a[:, None], b[None])


def overlap(a: Floats, b: Floats, kind: str = "iou") -> Floats:
    """Return how much the boxes a (..., 4) overlap the boxes b (..., 4), broadcast together.

    kind   "iou"   intersection over union; 0 where either is empty
           "giou"  less the empty share of the enclosing box (https://arxiv.org/abs/1902.09630)
           "diou"  iou - (d2 / c2) ** .6, with the squares of the distance of the centres and of
                   the enclosing box's diagonal (https://arxiv.org/abs/1911.08287 has no exponent)
           "ciou"  iou - d2 / c2 - alpha v, with the difference v of the aspect ratios

    This is darknet's box_iou_kind. Where the enclosing box is a point, each kind is the iou.
    """
    found: Floats = kernels.overlap(a, b, kind)
    return found


def letter_size(image_w: int, image_h: int, net_w: int, net_h: int) -> tuple[int, int]:
    """Return width and height of a picture shrunk or grown, in proportion, into a network's input.

    The sizes are darknet's whole numbers (image.c:letterbox_image), but at least 1: a picture 20000
    times as wide as high stays one row high.
    """
    if np.float32(net_w) / np.float32(image_w) < np.float32(net_h) / np.float32(image_h):
        return net_w, max(1, image_h * net_w // image_w)
    return max(1, image_w * net_h // image_h), net_h


def placed(
    image_w: int, image_h: int, net_w: int, net_h: int, letter_box: bool
) -> tuple[int, int, int, int]:
    """Return left, top, width and height, in pixels, of a picture in a network's input.

    letter_box  it keeps its proportions, in the middle; otherwise it fills the input
    """
    if not letter_box:
        return 0, 0, net_w, net_h
    wide, high = letter_size(image_w, image_h, net_w, net_h)
    return (net_w - wide) // 2, (net_h - high) // 2, wide, high


def letterboxed(
    truths: NDArray[np.float32], image_w: int, image_h: int, net_w: int, net_h: int
) -> NDArray[np.float32]:
    """Return truths (k, 5) class, x, y, w, h of a picture in shares of a network's input.

    The picture keeps its proportions there, and has margins.
    """
    wide, high = letter_size(image_w, image_h, net_w, net_h)
    moved = truths.copy()
    for axis, inner, outer in ((1, wide, net_w), (2, high, net_h)):
        share = np.float32(inner / outer)
        moved[:, axis] = moved[:, axis] * share + (1 - share) / 2
        moved[:, axis + 2] *= share
    return moved


def correct(
    boxes: NDArray[np.float32],
    net_w: int,
    net_h: int,
    image_w: int,
    image_h: int,
    letter_box: bool,
    relative: bool = True,
) -> NDArray[np.float32]:
    """Turn boxes (n, 4) relative to the network's input into boxes of the picture.

    letter_box  the picture was fitted into the input in proportion, with a margin
    relative    the result is in shares of the picture, 0..1; otherwise in its pixels

    This is darknet's correct_yolo_boxes; boxes may reach beyond the picture.
    """
    margins, shares, pixels = frame(net_w, net_h, image_w, image_h, letter_box, relative)
    found = np.empty_like(boxes)
    found[:, :2] = (boxes[:, :2].astype(np.float64) - margins) / shares
    found[:, 2:] = boxes[:, 2:] * (1 / shares.astype(np.float32))
    if not relative:
        found *= np.tile(pixels.astype(np.float32), 2)
    return found


def frame(
    net_w: int, net_h: int, image_w: int, image_h: int, letter_box: bool, relative: bool = True
) -> NDArray[np.float64]:
    """Return where a picture lies in a network's input, and how large its boxes are to be.

    returns  (3, 2): the margins beside it, x and y, and the size of what is between them, w and h,
             in shares of the input, of float32 as darknet has them; and by what boxes in shares of
             the picture are multiplied then, its w and h in pixels, or 1 if they stay ``relative``
    """
    wide, high = letter_size(image_w, image_h, net_w, net_h) if letter_box else (net_w, net_h)
    sides = ((wide, net_w), (high, net_h))
    margins = [(outer - inner) / 2 / outer for inner, outer in sides]
    shares = [np.float32(inner) / np.float32(outer) for inner, outer in sides]
    pixels = (1, 1) if relative else (image_w, image_h)
    return np.array([margins, shares, pixels], np.float64)
