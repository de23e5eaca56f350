"""A mosaic of four pictures: YOLO v4 (https://arxiv.org/abs/2004.10934, 3.3), darknet's data.c.

Quadrant 0 is left and above the point where the pictures meet, 1 right of it, 2 and 3 below.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..boxes import Floats, to_centres, to_corners
from .crop import Crop, Size
from .dataset import Labels

QUADRANTS = range(4)


class Span(NamedTuple):
    """What of one picture goes where, along an axis: [source, source + length) to target on."""

    source: int
    target: int
    length: int

    @property
    def taken(self) -> slice:
        return slice(self.source, self.source + self.length)

    @property
    def given(self) -> slice:
        return slice(self.target, self.target + self.length)


def draw_meeting(rng: np.random.Generator, net: Size) -> Size:
    """Draw the point where the four meet: y and x, between a fifth and four fifths of the sides."""
    y, x = (int(rng.integers(side // 5, side * 4 // 5, endpoint=True)) for side in net)
    return y, x


def to_corner(crop: Crop, quadrant: int) -> Crop:
    """Move a part to the picture's corner that lies at the quadrant's outer corner.

    So most of what the mosaic shows of it is picture rather than margin.
    """
    left, right, top, bottom, flip = crop
    wide, high = left + right, top + bottom
    left, right = (0, wide) if (quadrant in (0, 2)) != flip else (wide, 0)
    top, bottom = (0, high) if quadrant in (0, 1) else (high, 0)
    return Crop(left, right, top, bottom, flip)


def spans(quadrant: int, meeting: Size, crop: Crop, picture: Size, net: Size) -> tuple[Span, Span]:
    """Return what of a resized part goes into a quadrant: down, and across."""
    left, right = (crop.right, crop.left) if crop.flip else (crop.left, crop.right)
    (h, w), (net_h, net_w) = picture, net
    above, below = (-margin * net_h // h for margin in (crop.top, crop.bottom))
    before, after = (-margin * net_w // w for margin in (left, right))
    down = _span(quadrant in (2, 3), meeting[0], net_h, above, below)
    across = _span(quadrant in (1, 3), meeting[1], net_w, before, after)
    return down, across


def _span(is_second: bool, meeting: int, side: int, before: int, after: int) -> Span:
    """Return the inner part of a picture of ``side``, without its margins as far as may be.

    before, after  the margins, in pixels of the network's input
    """
    if is_second:
        return Span(min(meeting, max(0, before)), meeting, side - meeting)
    rest = side - meeting
    return Span(rest - min(rest, max(0, after)), 0, meeting)


def shifted(truths: Labels, down: Span, across: Span, net: Size, bound: bool) -> Labels:
    """Return the objects (k, 5) of a part where they are in the mosaic, those that stay.

    bound  cut them at the edges of the quadrant instead of those of the mosaic: without it a truth
           may lie where another picture covers its object, as darknet has it without mosaic_bound

    This is data.c:blend_truth_mosaic, with its whole pixels.
    """
    sides = np.array([net[1], net[0]], np.float32)
    offset = np.array([across.target - across.source, down.target - down.source], np.float32)
    boxes: Floats = truths[:, 1:].copy()
    boxes[:, :2] += offset / sides
    corners = _pixels(boxes, sides)
    if bound:
        low = np.array([across.target, down.target], np.float32)
        high = low + np.array([across.length, down.length], np.float32)
        corners[:, :2] = np.maximum(corners[:, :2], low)
        corners[:, 2:] = np.minimum(corners[:, 2:], high)
        boxes = to_centres(corners)
        boxes /= np.tile(sides, 2)
    else:
        before = np.minimum(corners[:, :2], 0) / sides
        after = np.maximum(corners[:, 2:] - sides, 0) / sides
        boxes[:, :2] -= (before + after) / 2
        boxes[:, 2:] += before - after
    corners = _pixels(boxes, sides)
    keep = (boxes > 0).all(1) & (boxes < 1).all(1) & (boxes[:, 2:] > 1 / sides).all(1)
    keep &= (corners[:, :2] >= 0).all(1) & (corners[:, 2:] <= sides).all(1)
    return np.column_stack([truths[:, :1], boxes])[keep]


def _pixels(boxes: Floats, sides: NDArray[np.float32]) -> Floats:
    """Return boxes x, y, w, h in 0..1 as left, top, right, bottom in whole pixels, cut off."""
    return np.trunc(to_corners(boxes) * np.tile(sides, 2))
