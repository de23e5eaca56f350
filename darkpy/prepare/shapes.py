"""A small data set made on the spot: coloured shapes on cluttered backgrounds, in darknet's layout.

Colour tells nothing about the class, and bars, crosses and rings lie about that are no objects: a
network has to learn the shapes. Every picture depends on the seed and its number alone.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..boxes import to_centres
from ..files import make_folder, replacing, write_text
from ..randomness import generator

NAMES = ("circle", "square", "triangle", "star")
SIDES = (180, 240)  # least and most pixels of a picture's height and width
SIZES = (0.18, 0.45)  # diameter of the circle around an object, in shorter sides of the picture
TILT = math.radians(20)  # most that an object is turned from upright
MOST = 5  # objects in a picture
MOST_COVERED = 0.15  # of the smaller of two boxes, by the other
TRIES = 30  # to find room for an object in a picture that is full already
FINE = 4  # times as large as the picture is what is drawn
QUALITY = 90  # of the JPEG
DATA = f"""classes = {len(NAMES)}
train = train.txt
valid = valid.txt
names = shapes.names
backup = backup
"""

Image = NDArray[np.uint8]  # (h, w, 3) blue-green-red
Outline = NDArray[np.float64]  # (n, 2) x, y of the corners, in pixels
Box = NDArray[np.float64]  # (4,) left, top, right, bottom in pixels


class Scene(NamedTuple):
    """A picture with its objects.

    image    (h, w, 3) uint8 blue-green-red
    classes  (k,) int, places in NAMES
    boxes    (k, 4) left, top, right, bottom in pixels, tight around each object
    """

    image: Image
    classes: NDArray[np.int64]
    boxes: NDArray[np.float64]


def draw_scene(seed: int, number: int) -> Scene:
    """Draw picture ``number`` of the data set of ``seed``."""
    rng = generator(seed, "shapes", number)
    height, width = rng.integers(*SIDES, 2, endpoint=True).tolist()
    image = _background(rng, height, width)
    for _ in range(rng.integers(1, 4)):
        _distract(rng, image)
    classes: list[int] = []
    boxes: list[Box] = []
    for _ in range(rng.integers(1, MOST, endpoint=True)):
        kind = int(rng.integers(len(NAMES)))
        outline = _free_outline(rng, kind, (height, width), boxes)
        if outline is not None:
            box = extent(outline)
            _paint(image, outline, _colour(rng))
            classes.append(kind)
            boxes.append(box)
    noise = rng.normal(0, rng.uniform(2, 10), image.shape)
    noisy = np.clip(image + noise, 0, 255).astype(np.uint8)
    return Scene(noisy, np.array(classes, np.int64), np.array(boxes).reshape(-1, 4))


def outline_of(kind: int, size: float, turn: float) -> Outline:
    """Return the outline of an object of class ``kind`` around 0, 0.

    size  diameter in pixels of the circle through its outermost corners
    turn  radians, clockwise
    """
    corners, inner = ((48, 1.0), (4, 1.0), (3, 1.0), (10, 0.45))[kind]
    upright = math.pi / 4 if corners == 4 else math.pi / 2
    angles = turn - upright + np.arange(corners) * (2 * math.pi / corners)
    radii = np.where(np.arange(corners) % 2, inner, 1.0) * (size / 2)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]


def extent(outline: Outline) -> Box:
    """Return the box around an outline."""
    return np.concatenate([outline.min(axis=0), outline.max(axis=0)])


def write_shapes(folder: str | Path, train: int, valid: int, seed: int = 0) -> list[str]:
    """Write a data set: shapes.data, names, two lists, and pictures with their labels beside them.

    train, valid  how many pictures to train on and to validate with

    What is there already under these names is replaced. Returns the paths of the pictures to
    validate with, as valid.txt has them: relative to the folder. Raises DarkpyError for what cannot
    be written.
    """
    folder = Path(folder)
    make_folder(folder)
    write_text(folder / "shapes.data", DATA)
    write_text(folder / "shapes.names", "".join(f"{name}\n" for name in NAMES))
    _write_part(folder, "train", range(train), seed)
    return _write_part(folder, "valid", range(train, train + valid), seed)


def _write_part(folder: Path, part: str, numbers: range, seed: int) -> list[str]:
    """Write the pictures of these numbers and the list of their paths, which is returned."""
    make_folder(folder / "images" / part)
    paths = [f"images/{part}/{number:05d}.jpg" for number in numbers]
    for path, number in zip(paths, numbers, strict=True):
        _write_scene(folder / path, draw_scene(seed, number))
    write_text(folder / f"{part}.txt", "".join(f"{path}\n" for path in paths))
    return paths


def label_lines(scene: Scene) -> str:
    """Return the text of a scene's label file: class x y w h a line, in 0..1 of the picture."""
    height, width = scene.image.shape[:2]
    shares = to_centres(scene.boxes) / (width, height, width, height)
    return "".join(
        f"{kind} " + " ".join(f"{share:.6f}" for share in row) + "\n"
        for kind, row in zip(scene.classes.tolist(), shares.tolist(), strict=True)
    )


def _write_scene(path: Path, scene: Scene) -> None:
    import cv2

    _, data = cv2.imencode(".jpg", scene.image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    with replacing(path) as file:
        file.write(data.tobytes())
    write_text(path.with_suffix(".txt"), label_lines(scene))


def _background(rng: np.random.Generator, height: int, width: int) -> Image:
    """Return clouds, nearly grey: a coarse and a finer grid of random colours, smoothed."""
    import cv2

    total: Any = np.zeros((height, width, 3), np.float32)
    base = rng.uniform(60, 190) + rng.normal(0, 8, 3)
    for cells, strength in ((3, 30.0), (12, 15.0)):
        grid = rng.normal(0, strength, (cells, cells, 1)) + rng.normal(0, 6, (cells, cells, 3))
        total += cv2.resize(grid.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    clouds: Image = np.clip(total + base, 0, 255).astype(np.uint8)
    return clouds


def _distract(rng: np.random.Generator, image: Image) -> None:
    """Paint something that is no object: a bar, a cross or a ring."""
    height, width = image.shape[:2]
    centre = rng.uniform((0, 0), (width, height))
    radius = rng.uniform(*SIZES) * min(height, width) / 2
    colour = _colour(rng)
    bars = int(rng.integers(3))
    if not bars:
        circle = outline_of(0, 2 * radius, 0) + centre
        _paint(image, circle, colour, thickness=max(2.0, 0.14 * radius))
    turn = rng.uniform(0, math.pi)
    for side in range(bars):
        angle = turn + side * math.pi / 2
        along = radius * np.array([math.cos(angle), math.sin(angle)])
        across = 0.17 * along[::-1] * (-1, 1)
        corners = [along + across, along - across, -along - across, across - along]
        _paint(image, centre + corners, colour)


def _free_outline(
    rng: np.random.Generator, kind: int, shape: tuple[int, int], boxes: list[Box]
) -> Outline | None:
    """Return an outline within the picture that hardly covers the boxes there, None for no room."""
    height, width = shape
    size = rng.uniform(*SIZES) * min(shape)
    for _ in range(TRIES):
        outline = outline_of(kind, size, rng.uniform(-TILT, TILT))
        outline += rng.uniform((0, 0), (width, height))
        box = extent(outline)
        inside = (box[:2] >= 1).all() and box[2] <= width - 1 and box[3] <= height - 1
        if inside and all(_covered(box, other) <= MOST_COVERED for other in boxes):
            return outline
    return None


def _covered(a: Box, b: Box) -> float:
    """Return the share of the smaller of two boxes that the other covers."""
    shared = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    areas = [float(np.prod(box[2:] - box[:2])) for box in (a, b)]
    return float(np.prod(np.maximum(shared, 0))) / min(areas)


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a vivid colour of any hue, blue-green-red in 0..255."""
    hue = (rng.uniform(0, 6) + np.array([2, 4, 0])) % 6  # sixths of a turn, from each primary
    vivid = np.clip(2 - np.minimum(hue, 6 - hue), 0, 1)
    saturation, value = rng.uniform(0.65, 1), rng.uniform(120, 255)
    colour: NDArray[np.float64] = value * (1 - saturation * (1 - vivid))
    return colour


def _paint(
    image: Image, outline: Outline, colour: NDArray[np.float64], thickness: float | None = None
) -> None:
    """Fill an outline, or draw a line along it that is so many pixels wide.

    Drawn FINE times as large and shrunk, a pixel takes as much of the colour as is covered: the box
    around the outline is tight. (OpenCV's own anti-aliasing makes it a pixel wider all around.)
    """
    import cv2

    margin = 1 + (thickness or 0)
    low = np.maximum(np.floor(outline.min(axis=0) - margin), 0).astype(int)
    high = np.ceil(outline.max(axis=0) + margin).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]  # the pixels that may change
    height, width = part.shape[:2]
    mask = np.zeros((FINE * height, FINE * width), np.uint8)
    corners = [np.round(FINE * (outline - low) - 0.5).astype(np.int32)]
    if thickness:
        cv2.polylines(mask, corners, True, 255, round(FINE * thickness))
    else:
        cv2.fillPoly(mask, corners, 255)
    covered: Any = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    share = covered[:, :, None] / 255
    part[...] = np.round(share * colour + (1 - share) * part)
