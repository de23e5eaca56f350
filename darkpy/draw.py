"""Draw detections on a picture, and save it."""

from __future__ import annotations

import functools
import math
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .boxes import to_corners
from .data.image import Image, checked, recoloured
from .detections import Detections
from .errors import ImageError
from .files import replacing

Color = tuple[int, int, int]  # blue, green, red
Place = tuple[int, int, int, int]  # left, top, right, bottom in pixels

# darknet's image.c:colors, as blue, green, red
STOPS = ((1, 0, 1), (0, 0, 1), (0, 1, 1), (0, 1, 0), (1, 1, 0), (1, 0, 0))
JPEG_QUALITY = 80  # darknet's
LIGATURES = {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "ł": "l"}
LONGEST = 40  # letters of a name
MOST_LABELS = 1000  # of the surest boxes; an untrained network has ten thousands
SMALLEST, LARGEST = 10, 60  # height of a capital letter in pixels


class _Label(NamedTuple):
    """A text, how it is written, the pixels it takes, and where in them its first letter stands."""

    text: str
    color: Color
    scale: float
    thickness: int
    width: int
    height: int
    origin: tuple[int, int]


def draw(image: Image, found: Detections, classes: int | None = None, scores: bool = True) -> Image:
    """Return a copy of a picture with a box and a label, name and per cent, for each detection.

    image    (h, w, 3) uint8 blue-green-red, or grey, which becomes colour
    classes  how many there are, which darknet's colours depend on; by default as many as names
    scores   whether labels have the per cent

    Boxes are cut at the picture's edges and labels stay inside it; one that does not fit is left
    out, and those beyond a thousand too. Left out are also classes whose name begins with
    dont_show, as in darknet.
    Raises ImageError for an array that is no picture.
    """
    import cv2

    canvas = recoloured(checked(image), 3).copy()
    height, width = canvas.shape[:2]
    total = classes or max([len(found.names), 1, *(found.class_id + 1).tolist()])
    line = max(1, round(min(height, width) * 0.004))
    labels = []
    for (box, confidence, name), k in zip(found, found.class_id.tolist(), strict=True):
        if name.startswith("dont_show"):
            continue
        corners = _corners(box, width, height)
        text = _readable(name, k) + (f" {confidence:.0%}" if scores else "")
        labels.append((_label(text, class_color(k, total), width, height), corners))
    for label, (left, top, right, bottom) in reversed(labels):  # the surest lies on top
        cv2.rectangle(canvas, (left, top), (right, bottom), label.color, line)
    taken: list[Place] = []
    for label, corners in labels[:MOST_LABELS]:
        if label.width <= width and label.height <= height:
            place = _place(label, corners, taken, width, height)
            taken.append(place)
            _write(canvas, label, place)
    return canvas


def draw_truths(image: Image, truths: NDArray[np.float32], names: tuple[str, ...] = ()) -> Image:
    """Return a copy of a picture with a dashed box, black and white, for each true object.

    truths  (k, 5) class, x, y, w, h, in 0..1 of the picture

    A name stands in a box that has room for it.
    """
    canvas = recoloured(checked(image), 3).copy()
    height, width = canvas.shape[:2]
    line = max(1, round(min(height, width) * 0.003))
    corners = to_corners(truths[:, 1:]) * np.array([width, height, width, height], np.float32)
    for k, box in zip(truths[:, 0].astype(int).tolist(), corners, strict=True):
        left, top, right, bottom = place = _corners(box, width, height)
        for y in (top, max(top, bottom - line + 1)):
            canvas[y : y + line, left : right + 1] = _dashes(right + 1 - left, line)[:, None]
        for x in (left, max(left, right - line + 1)):
            canvas[top : bottom + 1, x : x + line] = _dashes(bottom + 1 - top, line)[:, None, None]
        name = names[k] if 0 <= k < len(names) else str(k)
        label = _label(_readable(name, k), (255, 255, 255), width, height)
        if label.width < right - left and 2 * label.height < bottom - top:
            x, y = place[0], bottom - label.height
            _write(canvas, label, (x, y, x + label.width, y + label.height))
    return canvas


def _dashes(length: int, line: int) -> NDArray[np.uint8]:
    """Return black and white dashes along a line: it shows on any ground."""
    return (np.arange(length) // (4 * line) % 2 * 255).astype(np.uint8)


def class_color(k: int, classes: int) -> Color:
    """Return darknet's colour of a class: image.c:get_color of k * 123457 modulo the classes."""
    at = (k * 123457 % classes) / classes * (len(STOPS) - 1)
    low, high, share = math.floor(at), math.ceil(at), at % 1
    blue, green, red = (
        round(255 * ((1 - share) * a + share * b))
        for a, b in zip(STOPS[low], STOPS[high], strict=True)
    )
    return blue, green, red


def _corners(box: NDArray[np.float32], width: int, height: int) -> Place:
    """Return a box as whole pixels inside the picture."""
    most = np.array([width - 1, height - 1, width - 1, height - 1], np.float32)
    left, top, right, bottom = np.clip(np.nan_to_num(box), 0, most).astype(int).tolist()
    return left, top, right, bottom


def _label(text: str, color: Color, width: int, height: int) -> _Label:
    """Measure a label for a picture of some size."""
    import cv2

    capital = min(max(round(min(width, height) * 0.022), SMALLEST), LARGEST)
    scale, thickness = capital / 22, max(1, round(capital / 14))  # Hershey's capitals: 22 pixels
    (wide, high), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    margin = max(2, capital // 4)
    return _Label(
        text,
        color,
        scale,
        thickness,
        width=wide + 2 * margin,
        height=high + below + margin,
        origin=(margin, high + margin // 2),
    )


def _place(label: _Label, box: Place, taken: list[Place], width: int, height: int) -> Place:
    """Return where a label goes: above its box, in it, below it, or further down, if that is free.

    Without a free place it goes above its box, or inside, and covers another.
    """
    left, top, _, bottom = box
    x = max(0, min(left, width - label.width))
    tops = [top - label.height, top, bottom, bottom - label.height]
    tops += [top + step * label.height for step in range(1, 6)]
    places = [
        (x, y, x + label.width, y + label.height) for y in tops if 0 <= y <= height - label.height
    ]
    if not places:
        y = max(0, min(top, height - label.height))
        places = [(x, y, x + label.width, y + label.height)]
    others = np.array(taken, int).reshape(-1, 4)
    for place in places:
        apart = (
            (others[:, 0] >= place[2])
            | (others[:, 2] <= place[0])
            | (others[:, 1] >= place[3])
            | (others[:, 3] <= place[1])
        )
        if apart.all():
            return place
    return places[0]


def _write(canvas: Image, label: _Label, place: Place) -> None:
    """Write a label on a ground of its colour, in black or white, whichever stands out."""
    import cv2

    left, top, right, bottom = place
    blue, green, red = label.color
    is_bright = 0.114 * blue + 0.587 * green + 0.299 * red > 110
    ink = (0, 0, 0) if is_bright else (255, 255, 255)
    cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), label.color, cv2.FILLED)
    x, y = label.origin
    cv2.putText(
        canvas,
        label.text,
        (left + x, top + y),
        cv2.FONT_HERSHEY_SIMPLEX,
        label.scale,
        ink,
        label.thickness,
        cv2.LINE_AA,
    )


def _readable(name: str, k: int) -> str:
    """Return a name in letters that OpenCV can draw, or the class's number.

    OpenCV 4 draws ASCII only, OpenCV 5 most alphabets too. Other letters are shown without their
    accents; a name that has letters with no such form is shown as its class's number.
    """
    short = name if len(name) <= LONGEST else name[: LONGEST - 3] + "..."
    text = "".join(one if _can_draw(one) else _plain(one) for one in short)
    return text if all(map(_can_draw, text)) and text.strip() else f"#{k}"


def _plain(letter: str) -> str:
    """Return a letter without its accent, or as it is."""
    if letter in LIGATURES:
        return LIGATURES[letter]
    parts = unicodedata.normalize("NFKD", letter)
    return "".join(one for one in parts if not unicodedata.combining(one))


@functools.lru_cache(4096)
def _can_draw(letter: str) -> bool:
    """Tell whether OpenCV knows a letter: for one that it does not, it draws question marks."""
    if letter.isascii():
        return letter.isprintable()
    drawn = _ink(letter)
    marks = ("?" * count for count in (1, len(letter.encode("utf-8", "replace"))))
    return bool(drawn.any()) and not any(np.array_equal(drawn, _ink(one)) for one in marks)


def _ink(text: str) -> NDArray[np.uint8]:
    import cv2

    canvas = np.zeros((40, 120), np.uint8)
    cv2.putText(canvas, text, (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 1)
    return canvas


def save_image(path: str | Path, image: Image) -> None:
    """Write a picture in the format that the path's extension names, whole or not at all.

    Raises ImageError for an extension that OpenCV does not write, and DarkpyError for a file that
    cannot be written.
    """
    try:
        data = encode_image(Path(path).suffix, image)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    with replacing(path) as file:
        file.write(data)


def encode_image(suffix: str, image: Image) -> bytes:
    """Return the bytes of a picture's file, JPEG with darknet's quality, 80.

    Raises ImageError for an extension, such as ".tga", that OpenCV does not write.
    """
    import cv2

    is_jpeg = suffix.lower() in (".jpg", ".jpeg", ".jpe")
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if is_jpeg else []
    try:
        done, data = cv2.imencode(suffix, checked(image), options)
    except cv2.error:
        done = False
    if not done:  # .pgm takes no colours, .webp no side of 20000
        kind = f"this picture as {suffix}" if suffix else "a picture without an extension"
        raise ImageError(f"OpenCV does not write {kind}; try .jpg or .png") from None
    encoded: bytes = data.tobytes()
    return encoded
