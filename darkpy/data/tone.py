"""The colours of a picture in training: changed, blurred and with noise."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .dataset import Labels
from .image import Image

BACKGROUND = 1  # darknet's code for a blur that spares the objects
BACKGROUND_KERNEL = 17  # its size in pixels


class Tone(NamedTuple):
    """What happens to the colours of a picture.

    hue                   is turned by so many times 360 degrees
    saturation, exposure  are multiplied
    blur                  0 none, 1 the background, else the size of the kernel in pixels
    noise                 standard deviation of what is added, in levels of 0..255
    """

    hue: float
    saturation: float
    exposure: float
    blur: int
    noise: int


def draw_tone(
    rng: np.random.Generator,
    *,
    hue: float,
    saturation: float,
    exposure: float,
    blur: int,
    gaussian_noise: int,
) -> Tone:
    """Draw what the keys of [net] allow: data.c:load_data_detection.

    A third of the pictures is blurred as ``blur`` says, a third has a blurred background; half of
    them have noise.
    """
    return Tone(
        float(rng.uniform(-hue, hue)),
        draw_scale(rng, saturation),
        draw_scale(rng, exposure),
        (0, BACKGROUND, blur)[rng.integers(3)] if blur else 0,
        (0, min(max(gaussian_noise, 0), 127))[rng.integers(2)],
    )


def draw_scale(rng: np.random.Generator, most: float) -> float:
    """Draw a factor between 1 and ``most``, or, every other time, 1 by it (utils.c:rand_scale)."""
    scale = float(rng.uniform(min(1.0, most), max(1.0, most)))
    return scale if rng.integers(2) else 1 / scale


def recolour(image: Image, tone: Tone) -> Image:
    """Return a picture (h, w, c) uint8 with hue, saturation and exposure changed.

    As darknet has it (image_opencv.cpp:image_data_augmentation): in steps of 8 bits, where
    saturation and value end at 255, and the hue, of 0..180, ends at 0; a grey picture has exposure.
    """
    import cv2

    if (tone.hue, tone.saturation, tone.exposure) == (0, 1, 1):
        return image
    levels = np.arange(256, dtype=np.float32)
    if image.shape[2] == 1:
        return _looked_up(image, levels * np.float32(tone.exposure))
    columns = (
        levels + np.float32(179 * tone.hue),
        levels * np.float32(tone.saturation),
        levels * np.float32(tone.exposure),
    )
    hsv: Any = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv = _looked_up(hsv, np.stack(columns, -1)[:, None])
    changed: Image = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
    return changed


def _looked_up(image: Image, levels: NDArray[np.float32]) -> Image:
    """Return the level that each level of a picture becomes, rounded, and ended at 0 and 255."""
    import cv2

    found: Any = cv2.LUT(image, np.rint(levels).clip(0, 255).astype(np.uint8))
    whole: Image = found.reshape(image.shape)
    return whole


def sparing(blur: int, truths: Labels, net: tuple[int, int]) -> int:
    """Return a blur that spares the smallest object: an eighth of its shorter side, if less.

    Of a picture without an object the whole is not blurred, only a background.
    """
    if blur <= BACKGROUND:
        return blur
    sides = truths[:, 3:] * np.array([net[1], net[0]], np.float32)
    return min(blur, int(sides.min(initial=np.inf)) // 8) if len(truths) else 0


def blurred(image: Image, blur: int, truths: Labels) -> Image:
    """Return a picture (h, w, c) uint8 blurred by a Gaussian, but for the truths if blur is 1."""
    import cv2

    size = BACKGROUND_KERNEL if blur == BACKGROUND else blur // 2 * 2 + 1
    soft: Any = cv2.GaussianBlur(image, (size, size), 0).reshape(image.shape)
    if blur == BACKGROUND:
        high, wide = image.shape[:2]
        for x, y, w, h in truths[:, 1:]:
            left, top = int((x - w / 2) * wide), int((y - h / 2) * high)
            right, bottom = left + int(w * wide), top + int(h * high)
            soft[top:bottom, left:right] = image[top:bottom, left:right]
    whole: Image = soft
    return whole


def noisy(image: Image, noise: int, rng: np.random.Generator) -> Image:
    """Return a picture (h, w, c) uint8 with the positive half of Gaussian noise added.

    darknet draws it in unsigned bytes, where what is negative becomes 0.
    """
    import cv2

    drawn = rng.standard_normal(image.shape, np.float32) * np.float32(noise)
    added: Any = cv2.add(image, np.rint(drawn).clip(0, 255).astype(np.uint8))
    whole: Image = added.reshape(image.shape)
    return whole
