"""COCO's twelve numbers, by COCO's own tool, pycocotools (https://cocodataset.org/#detection-eval)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DarkpyError

THRESH = 0.001  # detections reach far down, so that the curve does; as darknet's `valid`
NMS = 0.6
MOST = 100  # detections of a picture, of all classes together: the rule of COCO's server


class Measured(NamedTuple):
    """A picture with its objects and its detections.

    truths  (m, 5) float32 class, x, y, w, h
    found   (n, 6) float32 class, x, y, w, h, probability; n <= 100
    """

    width: int
    height: int
    truths: NDArray[np.float32]
    found: NDArray[np.float32]


class CocoNumbers(NamedTuple):
    """COCO's summary: the 12 numbers, in its order, and its own text of 12 lines."""

    numbers: NDArray[np.float64]
    text: str


def best(boxes: NDArray[np.float32], probs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the 100 most probable detections: (n, 6) float32 class, x, y, w, h, probability."""
    box, class_id = np.nonzero(probs > 0)
    prob = probs[box, class_id]
    first = np.argsort(-prob, kind="stable")[:MOST]
    box, class_id, prob = box[first], class_id[first], prob[first]
    return np.column_stack([class_id, boxes[box], prob]).astype(np.float32)


def require() -> None:
    """Raise DarkpyError if pycocotools is not installed."""
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise DarkpyError(
            f"COCO's numbers need pycocotools ({error}): pip install 'darkpy-yolo[coco]'"
        ) from None


def evaluate_coco(pictures: Sequence[Measured], classes: int) -> CocoNumbers:
    """Compute COCO's twelve numbers; one for which there are no objects is -1.

    Areas, which decide what is small, medium or large, are those of the boxes: label files have no
    outlines, whose areas COCO's own files give. Raises DarkpyError without pycocotools.
    """
    require()
    from pycocotools.cocoeval import COCOeval

    images = [
        {"id": n, "width": one.width, "height": one.height} for n, one in enumerate(pictures, 1)
    ]
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()):
        truths = _index(images, [(one, one.truths) for one in pictures], classes)
        found = _index(images, [(one, one.found) for one in pictures], classes)
        judge = COCOeval(truths, found, "bbox")
        judge.evaluate()
        judge.accumulate()
        with contextlib.redirect_stdout(said):
            judge.summarize()
    return CocoNumbers(np.asarray(judge.stats, np.float64), said.getvalue())


def _index(
    images: list[dict[str, int]],
    rows: Sequence[tuple[Measured, NDArray[np.float32]]],
    classes: int,
) -> Any:
    """Make pycocotools' index of objects or, where a row has a probability, of detections."""
    from pycocotools.coco import COCO

    index = COCO()
    annotations: list[dict[str, Any]] = []
    for image, (picture, boxes) in zip(images, rows, strict=True):
        for row in boxes.astype(np.float64):
            box = _pixels(row[1:5], picture.width, picture.height)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": int(row[0]) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    **({"score": row[5]} if len(row) > 5 else {}),
                }
            )
    categories = [{"id": k + 1, "name": str(k)} for k in range(classes)]
    index.dataset = {"images": images, "annotations": annotations, "categories": categories}
    index.createIndex()
    return index


def _pixels(box: NDArray[np.float64], width: int, height: int) -> list[float]:
    """Return left, top, width and height in pixels of the part of a box inside the picture."""
    x, y, w, h = box.tolist()
    left, right = (min(max(side, 0.0), 1.0) * width for side in (x - w / 2, x + w / 2))
    top, bottom = (min(max(side, 0.0), 1.0) * height for side in (y - h / 2, y + h / 2))
    return [left, top, right - left, bottom - top]
