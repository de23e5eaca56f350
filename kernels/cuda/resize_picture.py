"""A network's input of a picture of bytes, in one launch."""

from typing import Any

import numpy as np

from .device import LIMIT, Device, Launch, Map, TooLarge, over, struct
from .order import Numbers

__all__ = ["resize_picture"]


def resize_picture(
    device: Device,
    y: Numbers,
    image: Any,
    *,
    h: int,
    w: int,
    top: int = 0,
    left: int = 0,
    fill: float = 0.5,
) -> list[Launch]:
    """Resize a picture to h and w, to the same numbers as the reference.

    y          a Map of one picture, of 1 or 3 channels and any type; or planes (c, h', w') float32
    image      (h0, w0, c0) uint8 of the device, without gaps: colours blue, green, red, or grey.
               Grey becomes colour and the reverse as c asks, as cv2.cvtColor does it
    top, left  where in y the picture begins; what is beside it becomes ``fill``. A letterboxed
               picture has h and w of `darkpy.boxes.letter_size` and lies in the middle
    """
    old_h, old_w, colours = image.shape
    c, whole_h, whole_w = y.shape[-3:]
    if image.size >= LIMIT:
        raise TooLarge(f"a picture of {old_w} x {old_h} pixels: expected less than 2^31 bytes")
    if {c, colours} - {1, 3}:
        raise ValueError(f"pictures have 1 or 3 channels: got {colours}, to become {c}")
    frame = struct(
        old_h=old_h, old_w=old_w, h=h, w=w, top=top, left=left,
        whole_h=whole_h, whole_w=whole_w, fill=float(fill),
    )  # fmt: skip
    grid = over(whole_h * whole_w)
    if isinstance(y, Map):
        kernel = f"resize_picture<{y.name}, {colours}, {c}>"
        args: tuple[Any, ...] = (image, frame, y.array, np.int32(y.pitch))
    else:
        kernel, args = f"resize_planes<{colours}, {c}>", (image, frame, y)
    return [Launch("resize_picture.cu", kernel, *grid, args)]
