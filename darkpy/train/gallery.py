"""Pictures for the eye: those an evaluation was worst at, and those a training is fed with."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..boxes import to_corners
from ..cfg import reason
from ..data.image import Image, checked, read_image
from ..data.loader import Batch
from ..detections import Detections
from ..draw import draw, draw_truths, save_image
from ..errors import DarkpyError
from ..files import make_folder
from .evaluation import Judged

log = logging.getLogger(__name__)

KEPT = 3  # evaluations whose pictures stay
LONGEST = 1280  # pixels of the longer side of a picture drawn
SHEET = 960  # pixels of a contact sheet's width
UNSAFE = re.compile(r"[^\w.-]+")  # characters that some file system refuses


def draw_worst(folder: str | Path, iteration: int, items: Sequence[Judged]) -> list[Image]:
    """Draw the pictures with the highest loss into FOLDER/00300/, and return them drawn.

    What was found has its class's colour, what is true is dashed. A file is named by rank, loss
    and picture: ``01_loss_12.30_dog.jpg``. Of earlier evaluations the last two stay. A picture that
    can no longer be read is left out. Raises DarkpyError for a folder that cannot be written.
    """
    folder = Path(folder)
    partial, whole = folder / f"{iteration:05d}.partial", folder / f"{iteration:05d}"
    drawn = []
    _remove(partial)
    make_folder(partial)
    for rank, item in enumerate(sorted(items, key=lambda item: -item.loss), 1):
        try:
            image = _drawn(item)
        except DarkpyError as error:
            log.warning("%s", error)
            continue
        save_image(partial / f"{rank:02d}_loss_{item.loss:.2f}_{_stem(item.path)}.jpg", image)
        drawn.append(image)
    _remove(whole)
    try:
        partial.rename(whole)
    except OSError as error:
        raise DarkpyError(f"{whole}: cannot be written: {reason(error)}") from None
    _forget(folder, iteration)
    return drawn


def _drawn(item: Judged) -> Image:
    """Return a picture, reduced if it is large, with what was found and what is true."""
    image = read_image(item.path)
    before = image.shape[1]
    image = reduced(image, LONGEST)
    found = item.found
    scale = np.float32(image.shape[1] / before)
    fitted = Detections(found.xyxy * scale, found.confidence, found.class_id, found.names)
    return draw_truths(draw(image, fitted), item.truths, found.names)


def reduced(image: Image, longest: int) -> Image:
    """Return a picture whose longer side has at most ``longest`` pixels."""
    import cv2

    scale = longest / max(image.shape[:2])
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    if scale >= 1:
        return image
    smaller: Any = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return checked(smaller)  # OpenCV drops a single channel


def _forget(folder: Path, iteration: int) -> None:
    """Remove the folders of evaluations but the last, and those of a future that was undone."""
    there = [one for one in folder.iterdir() if one.name.isdecimal()]
    ahead = [one for one in there if int(one.name) > iteration]
    past = sorted((one for one in there if one not in ahead), key=lambda one: int(one.name))
    for one in [*ahead, *past[:-KEPT]]:
        _remove(one)


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise DarkpyError(f"{folder}: cannot be removed: {reason(error)}") from None


def _stem(path: str) -> str:
    """Return the name of a picture without its extension, as every file system takes it."""
    return UNSAFE.sub("_", Path(path).stem)[:60]


def draw_batch(batch: Batch, names: tuple[str, ...] = ()) -> list[Image]:
    """Return the pictures of a batch as the network sees them, with the boxes of their objects."""
    return [_seen(x, truths, names) for x, truths in zip(batch.images, batch.truths, strict=True)]


def _seen(x: NDArray[np.float32], truths: NDArray[np.float32], names: tuple[str, ...]) -> Image:
    """Return planes (c, h, w) as a picture (h, w, 3) with its objects drawn."""
    planes = np.clip(np.rint(x[::-1] * 255), 0, 255).astype(np.uint8)
    image = np.ascontiguousarray(planes.transpose(1, 2, 0))
    size = np.array([*image.shape[1::-1]] * 2, np.float32)
    boxes = to_corners(truths[:, 1:5]) * size
    classes = truths[:, 0].astype(np.int32)
    objects = Detections(boxes, np.ones(len(boxes), np.float32), classes, names)
    return draw(image, objects, scores=False)


def save_augmented(folder: str | Path, batch: Batch, names: tuple[str, ...] = ()) -> list[Path]:
    """Write the pictures of a batch as the network sees them: darknet's -show_imgs.

    A file is named ``aug_ITERATION_SLOT_PICTURE.jpg``, where darknet has random numbers.
    Raises DarkpyError for a folder that cannot be written.
    """
    make_folder(folder)
    paths = []
    for slot, (image, path) in enumerate(zip(draw_batch(batch, names), batch.paths, strict=True)):
        paths.append(Path(folder) / f"aug_{batch.iteration}_{slot}_{_stem(path)}.jpg")
        save_image(paths[-1], image)
    return paths


def contact_sheet(images: Iterable[Image], most: int = 16) -> Image:
    """Return pictures (h, w, 3) of one size, reduced, side by side in a square: (h', w', 3)."""
    chosen = list(images)[:most]
    if not chosen:
        return np.zeros((1, 1, 3), np.uint8)
    columns = int(np.ceil(np.sqrt(len(chosen))))
    side = SHEET // columns
    small = [reduced(image, side) for image in chosen]
    height, width = small[0].shape[:2]
    rows = -(-len(small) // columns)
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    for k, image in enumerate(small):
        y, x = k // columns * height, k % columns * width
        sheet[y : y + height, x : x + width] = image
    return sheet
