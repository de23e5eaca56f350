"""Read a picture, and make a network's input of it: darknet's image.c, in numpy.

Pictures are (h, w, c) uint8 as OpenCV has them, colours in the order blue, green, red; a network
takes planes, (c, h, w) float32 in 0..1, in the order red, green, blue.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..boxes import placed
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
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size or LONGEST, LONGEST) + 1)  # takes memory for so much
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
    # OpenCV ends the process on a view that is too large for memory
    converted: Any = cv2.cvtColor(np.ascontiguousarray(image), code)
    return _with_channels(converted, channels)


def prepare(
    image: Image,
    shape: tuple[int, int, int],
    letter_box: bool,
    ops: Any,
    out: Planes | None = None,
) -> Planes:
    """Make a network's input of a picture, as darknet's image.c:resize_image and letterbox_image.

    image       (h, w, 3) uint8 blue-green-red, or (h, w) or (h, w, 1) grey
    shape       (c, h, w) of the input; grey becomes colour and the reverse as c asks
    letter_box  keep the picture's proportions and fill the margins with .5
    ops         kernels, of which ``resize_picture`` is used
    out         (c, h, w) float32 to write into, if given
    returns     (c, h, w) float32, 0..1, red first
    raises      ImageError for an array that is no such picture
    """
    channels, height, width = shape
    image = checked(image)
    planes = np.empty(shape, np.float32) if out is None else out
    left, top, wide, high = placed(image.shape[1], image.shape[0], width, height, letter_box)
    part = planes[:, top : top + high, left : left + wide]
    if part.shape != planes.shape:
        planes[...] = FILL
    convert = partial(recoloured, channels=channels) if image.shape[2] != channels else None
    ops.resize_picture(image, h=part.shape[1], w=part.shape[2], out=part, convert=convert)
    return planes


def to_planar(image: Image) -> Planes:
    """Return a picture (h, w, c) uint8 blue-green-red as planes (c, h, w) float32, red first."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)[::-1], np.float32)
    planes /= np.float32(255)
    return planes
