"""The part of a picture that is trained on: drawn, cut out and resized, and its objects with it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..boxes import to_centres, to_corners
from .dataset import Labels
from .image import Image

MOST_PIXELS = 1 << 28  # of a part with its margins: 800 MB; a letterbox of a thin line has more

Size = tuple[int, int]  # height, width


class Crop(NamedTuple):
    """How many pixels of a picture are cut off at each side; negative ones are added.

    flip  the part is then mirrored, left and right
    """

    left: int
    right: int
    top: int
    bottom: int
    flip: bool


def draw_crop(
    rng: np.random.Generator,
    picture: Size,
    net: Size,
    *,
    jitter: float,
    resize: float,
    flip: bool,
    letter_box: bool,
) -> Crop:
    """Draw the part of a picture to train on, as darknet's data.c:load_data_detection does.

    jitter      each side moves by up to this share of the picture, in or out
    resize      the part grows or shrinks up to so many times; below 1 it only shows the picture
                smaller
    flip        mirror every other part
    letter_box  add margins until the picture has the proportions of the network's input
    """
    first, second, left, right, top, bottom = rng.random(6)
    mirrored = bool(rng.integers(2)) and flip
    h, w = picture
    wide, high = _Range.of(w, jitter, resize), _Range.of(h, jitter, resize)
    add_x, add_y = _to_proportions(picture, net) if letter_box else (0.0, 0.0)
    return Crop(
        int(wide.at(left, first) - add_x),
        int(wide.at(right, second) - add_x),
        int(high.at(top, first) - add_y),
        int(high.at(bottom, second) - add_y),
        mirrored,
    )


class _Range(NamedTuple):
    """How far a side may move, in pixels: by jitter either way, and between low and high."""

    jitter: int
    low: int
    high: int

    @classmethod
    def of(cls, side: int, jitter: float, resize: float) -> _Range:
        down, up = min(resize, 1 / resize), max(resize, 1 / resize)
        low, high = int(side * (1 - 1 / down) / 2), int(side * (1 - 1 / up) / 2)
        return cls(int(side * jitter), low, 0 if resize < 1 else high)

    def at(self, jitter: float, resize: float) -> int:
        """Return the place for two numbers in 0..1, in whole pixels as darknet rounds them."""
        moved = int(jitter * 2 * self.jitter - self.jitter)
        return int(moved + resize * (self.high - self.low) + self.low)


def _to_proportions(picture: Size, net: Size) -> tuple[float, float]:
    """Return what to add at the left and at the top for the proportions of the network's input."""
    (h, w), wanted = picture, net[1] / net[0]
    if w / h > wanted:
        return 0.0, (w / wanted - h) / 2
    return (h * wanted - w) / 2, 0.0


def fitting(crop: Crop, picture: Size) -> Crop:
    """Return a crop that can be made: itself, or the whole picture.

    That is, if it shows nothing of the picture, or has more than MOST_PIXELS.
    """
    h, w = picture
    width, height = w - crop.left - crop.right, h - crop.top - crop.bottom
    shown = (width, w - crop.left, w - crop.right, height, h - crop.top, h - crop.bottom)
    if min(shown) > 0 and width * height <= MOST_PIXELS:
        return crop
    return Crop(0, 0, 0, 0, crop.flip)


def cut(image: Image, crop: Crop, net: Size) -> Image:
    """Return the part (h, w, c) uint8 of a picture, resized to the network's input.

    crop  one that is `fitting`; what it adds has the picture's mean colour, as in darknet's
          image_opencv.cpp:image_data_augmentation
    """
    import cv2

    h, w, c = image.shape
    left, right, top, bottom = (max(0, side) for side in crop[:4])
    inside: Any = image[top : h - bottom, left : w - right]
    left, right, top, bottom = (max(0, -side) for side in crop[:4])
    if left or right or top or bottom:
        inside = cv2.copyMakeBorder(
            inside, top, bottom, left, right, cv2.BORDER_CONSTANT, value=cv2.mean(image)
        )
    sized: Any = cv2.resize(inside, (net[1], net[0]), interpolation=cv2.INTER_LINEAR)
    if crop.flip:
        sized = cv2.flip(sized, 1)
    part: Image = sized.reshape(*net, c)
    return part


def place(
    labels: Labels, crop: Crop, picture: Size, net: Size, most: int, rng: np.random.Generator
) -> Labels:
    """Return the objects that a part shows: (k, 5) float32 class, x, y, w, h in 0..1 of the part.

    Boxes are cut at its edges. Of more than ``most`` a drawn choice stays, and of those the ones
    that are at least a pixel of the network's input wide and high, in a drawn order
    (data.c:fill_truth_detection).
    """
    labels = rng.permutation(labels)
    height, width = picture[0] - crop.top - crop.bottom, picture[1] - crop.left - crop.right
    scale = np.array([picture[1] / width, picture[0] / height] * 2, np.float32)
    shift = np.array([crop.left / width, crop.top / height] * 2, np.float32)
    corners = to_corners(labels[:, 1:]) * scale - shift
    if crop.flip:
        corners[:, [0, 2]] = 1 - corners[:, [2, 0]]
    boxes = to_centres(corners.clip(0, 1))
    least = 1 / np.array([net[1], net[0]], np.float32)
    keep = (boxes[:most, 2:] >= least).all(1)
    return np.column_stack([labels[:most, :1], boxes[:most]])[keep]
