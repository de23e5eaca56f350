"""Read a picture, and make a network's input of it: darknet's image.c, in numpy.

Pictures are (h, w, c) uint8 as OpenCV has them, colours in the order blue, green, red; a network
takes planes, (c, h, w) float32 in 0..1, in the order red, green, blue.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..boxes import letter_size
from ..cfg import reason
from ..errors import ImageError
from .header import ends_early, is_jpeg_2000, too_much

log = logging.getLogger(__name__)

Image = NDArray[np.uint8]  # (h, w, c)
Planes = NDArray[np.float32]  # (c, h, w)

LONGEST = 1 << 30  # bytes of a file; OpenCV itself refuses more than 2**30 pixels
FILL = 0.5  # the grey beside a letterboxed picture


def read_image(path: str | Path, channels: int = 3) -> Image:
    """Decode a picture file: (h, w, channels) uint8, blue-green-red, or grey for one channel.

    It is turned as its EXIF orientation says, and 16 bits, transparency and CMYK become plain 8-bit
    colours, as OpenCV's imread has it, and so darknet. Of a JPEG that ends early, what is there is
    decoded, the rest is grey, and a warning is logged.
    Raises ImageError, which names the file, for one that is missing, empty or cannot be decoded.
    """
    import cv2

    if channels not in (1, 3):
        raise ImageError(f"{path}: expected 1 or 3 channels of a picture; asked for {channels}")
    data = _bytes(path)
    if claimed := too_much(data):
        raise ImageError(f"{path}: claims {claimed}, but ends after {len(data)} bytes")
    if is_jpeg_2000(data) and tuple(map(int, cv2.__version__.split(".")[:2])) < (4, 12):
        raise ImageError(
            f"{path}: JPEG 2000 needs OpenCV 4.12; before, a damaged one ends the process"
        )
    if ends_early(data):
        log.warning("%s: the JPEG ends early; what is missing of the picture is grey", path)
        data += b"\xff\xd9"  # newer versions of OpenCV decode nothing without it
    flag = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    try:
        image: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except (cv2.error, MemoryError) as error:
        said = getattr(error, "err", None) or "not enough memory"
        raise ImageError(f"{path}: cannot be decoded: {said}") from None
    if image is None:
        raise ImageError(f"{path}: is not a picture that OpenCV can decode, or is damaged")
    return recoloured(checked(image), channels)  # of a .pfm OpenCV does not change the channels


def _bytes(path: str | Path) -> bytes:
    """Return the bytes of a picture file. Raises ImageError if it is no file, or empty."""
    name = os.path.expanduser(path)
    if os.path.exists(name) and not os.path.isfile(name):
        what = "a folder" if os.path.isdir(name) else "not a regular file"
        raise ImageError(f"{path}: expected a picture, got {what}")
    try:
        with open(name, "rb") as file:
            data = file.read(LONGEST + 1)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be read: {reason(error)}") from None
    if not data:
        raise ImageError(f"{path}: is empty")
    if len(data) > LONGEST:
        raise ImageError(f"{path}: longer than {LONGEST >> 20} MiB; is it a picture?")
    return data


_HINTS = {type(None): "; did the file open?", str: "; read the file first, as cv2.imread does"}


def checked(image: Any) -> Image:
    """Return a picture given as (h, w, 3), (h, w, 1) or (h, w) uint8 as (h, w, c).

    Raises ImageError, with what was expected and what was given, for anything else.
    """
    expected = "a picture: expected an array (h, w, 3) or (h, w) of uint8"
    if not isinstance(image, np.ndarray):
        hint = _HINTS.get(type(image), "")
        raise ImageError(f"{expected}, got {type(image).__name__}{hint}")
    if image.dtype != np.uint8:
        raise ImageError(f"{expected}, got {image.dtype}")
    image = np.asarray(image)  # numpy's matrix has other rules for indices
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.ndim not in (2, 3) or channels not in (1, 3) or not image.size:
        raise ImageError(f"{expected}, got shape {image.shape}")
    return _with_channels(image, channels)


def _with_channels(image: Any, channels: int) -> Image:
    """Return an image (h, w), or (h, w, c), as (h, w, c): OpenCV drops a single channel."""
    shaped: Image = image.reshape(*image.shape[:2], channels)
    return shaped


def recoloured(image: Image, channels: int) -> Image:
    """Return a picture (h, w, 1 or 3) with the number of channels given, as cv2.cvtColor does it.

    Raises ImageError unless that is 1 or 3.
    """
    if channels == image.shape[2]:
        return image
    if channels not in (1, 3):
        raise ImageError(f"the network takes {channels} channels; a picture has 1 or 3")
    import cv2

    code = cv2.COLOR_GRAY2BGR if channels == 3 else cv2.COLOR_BGR2GRAY
    converted: Any = cv2.cvtColor(image, code)
    return _with_channels(converted, channels)


def prepare(image: Image, shape: tuple[int, int, int], letter_box: bool = False) -> Planes:
    """Make a network's input of a picture: the same as `resize` or `letterbox` of `to_planar`.

    image       (h, w, 3) uint8 blue-green-red, or (h, w) or (h, w, 1) grey
    shape       (c, h, w) of the input; grey becomes colour and the reverse as c asks
    letter_box  keep the picture's proportions and fill the margins with .5
    returns     (c, h, w) float32, 0..1
    raises      ImageError for an array that is no such picture

    Only the pixels that the result needs are converted, so that a large picture costs little.
    """
    channels, height, width = shape
    image = checked(image)

    def pick(rows: Any, columns: Any) -> Planes:
        return to_planar(recoloured(image[rows][:, columns], channels))

    size = image.shape[:2]
    if not letter_box:
        return _resized(pick, size, (height, width))
    inner = _inner_size(size, (height, width))
    return _boxed(_resized(pick, size, inner), height, width)


def to_planar(image: Image) -> Planes:
    """Return a picture (h, w, c) uint8 blue-green-red as planes (c, h, w) float32, red first."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)[::-1], np.float32)
    planes /= np.float32(255)
    return planes


def resize(planar: Planes, h: int, w: int) -> Planes:
    """Resize planes (c, h, w) float32 to h and w: bilinear, corners on corners.

    This is darknet's image.c:resize_image, in its order of arithmetic, without its slip: where
    rounding puts the last row a hair above its place, darknet leaves that row nearly black.
    """
    if planar.shape[1:] == (h, w):
        return planar.copy()

    def pick(rows: Any, columns: Any) -> Planes:
        return planar[:, rows][:, :, columns]

    return _resized(pick, planar.shape[1:], (h, w))


def letterbox(planar: Planes, h: int, w: int) -> Planes:
    """Resize planes (c, h, w) float32 in proportion into h and w, with margins of .5.

    This is darknet's image.c:letterbox_image.
    """
    return _boxed(resize(planar, *_inner_size(planar.shape[1:], (h, w))), h, w)


def _inner_size(size: tuple[int, ...], outer: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) that a picture of ``size`` has inside ``outer``."""
    width, height = letter_size(size[1], size[0], outer[1], outer[0])
    return height, width


def _boxed(planar: Planes, h: int, w: int) -> Planes:
    """Put planes in the middle of grey ones of h and w."""
    channels, height, width = planar.shape
    boxed = np.full((channels, h, w), FILL, np.float32)
    top, left = (h - height) // 2, (w - width) // 2
    boxed[:, top : top + height, left : left + width] = planar
    return boxed


class _Places(NamedTuple):
    """Between which two old rows or columns each new one lies, and how far from the first."""

    low: NDArray[np.intp]
    high: NDArray[np.intp]
    fraction: NDArray[np.float32]


def _places(old: int, new: int) -> _Places:
    if old == new:  # nothing to mix: every place is its own
        same = np.arange(new)
        return _Places(same, same, np.zeros(new, np.float32))
    at = np.arange(new, dtype=np.float32) * (np.float32(old - 1) / np.float32(max(1, new - 1)))
    low = at.astype(np.intp)
    fraction = at - low.astype(np.float32)
    low[-1], fraction[-1] = old - 1, 0  # the last is the last, whatever rounding says
    return _Places(low, np.minimum(low + 1, old - 1), fraction)


def _resized(
    pick: Callable[[Any, Any], Planes], old: tuple[int, ...], new: tuple[int, int]
) -> Planes:
    """Mix neighbours of an old picture into a new one: along the rows first, then the columns.

    pick  gives the planes (c, rows, columns) of the old picture at given rows and columns
    """
    rows, columns = _places(old[0], new[0]), _places(old[1], new[1])

    def mix(low: Planes, high: Planes, fraction: NDArray[np.float32]) -> Planes:
        low *= 1 - fraction
        high *= fraction
        low += high
        return low

    def along(which: Any) -> Planes:
        if old[1] == new[1]:
            return pick(which, slice(None))
        return mix(pick(which, columns.low), pick(which, columns.high), columns.fraction)

    if old[0] == new[0]:
        return along(slice(None))
    return mix(along(rows.low), along(rows.high), rows.fraction[:, None])
