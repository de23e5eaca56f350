"""Result files for the judges of COCO, PASCAL VOC, ImageNet, BDD100K and KITTI.

The formats are those of darknet's validate_detector. ``eval =`` in the .data file chooses one; each
is a context manager that opens its files and gives the function that adds a picture's detections.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..decode import Candidates
from ..errors import DataError, nearest
from ..files import make_folder, replacing, write_text
from .pictures import Seen

THRESH = 0.001
NMS = 0.6
COCO_IDS = [one for one in range(1, 91) if one not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)]
KITTI_NAMES = ("car", "pedestrian", "cyclist")
BDD_NAMES = (
    *("bike", "bus", "car", "motor", "person", "rider"),
    *("traffic light", "traffic sign", "train", "truck"),
)

NO_FOLDER = str.maketrans("/\\\0", "___")

Add = Callable[[Seen, Candidates], None]
Detection = tuple[int, float, float, float, float, float]  # class, probability, corners


def result_files(
    kind: str, folder: str | Path, out: str | None, names: Sequence[str]
) -> AbstractContextManager[Add]:
    """Open the result files of ``eval = kind`` in a folder, which is made if need be.

    out    the name of the file, or what the names of the files begin with; None: darknet's
    names  of the classes

    The files take their places when the context ends well. Raises DataError for a kind that is not
    known, or that has not as many classes; DarkpyError for what cannot be written.
    """
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise DataError(f"eval = {kind}: expected one of {known}{nearest(kind, KINDS)}")
    ids = {"coco": COCO_IDS, "kitti": KITTI_NAMES, "bdd": BDD_NAMES}.get(kind)
    if ids and len(names) > len(ids):
        raise DataError(f"eval = {kind} has {len(ids)} classes; the names are {len(names)}")
    make_folder(folder)
    return KINDS[kind](Path(folder), out, names)


def detections(seen: Seen, found: Candidates, offset: float = 0) -> Iterator[Detection]:
    """Yield the detections of a picture with their corners in pixels, cut at the picture's edges.

    offset  of the first pixel: VOC counts from 1

    Sums are made in double precision and rounded to float32, as darknet's C does.
    """
    size = np.array([seen.width, seen.height] * 2, np.float32)
    x, y, w, h = (found.boxes * size).astype(np.float64).T
    corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1) + offset
    corners = corners.astype(np.float32)
    corners[:, :2] = np.maximum(corners[:, :2], offset)
    corners[:, 2:] = np.minimum(corners[:, 2:], size[:2])
    box, class_id = np.nonzero(found.probs > 0)
    probs = found.probs[box, class_id]
    for k, prob, row in zip(class_id.tolist(), probs.tolist(), corners[box].tolist(), strict=True):
        yield (k, prob, *row)


def stem(path: str) -> str:
    """Return the name of a picture up to its first point (darknet's basecfg)."""
    return last(path).partition(".")[0]


def last(path: str) -> str:
    """Return the name of a picture without its folder."""
    return re.split(r"[/\\]", path)[-1]


def coco_id(path: str) -> int:
    """Return COCO's number of a picture: the digits that its name begins with, or ends with.

    000000000139.jpg and COCO_val2014_000000000042.jpg are 139 and 42. Raises DataError.
    """
    name = stem(path)
    digits = re.match(r"[0-9]+", name) or re.search(r"[0-9]+$", name)
    if not digits:
        raise DataError(f"{path}: expected COCO's number in the name of the picture")
    return int(digits[0])


@contextmanager
def _coco(folder: Path, out: str | None, names: Sequence[str]) -> Iterator[Add]:
    with replacing(folder / f"{out or 'coco_results'}.json") as file, _list(file) as put:

        def add(seen: Seen, found: Candidates) -> None:
            image = coco_id(seen.path)
            for k, prob, left, top, right, bottom in detections(seen, found):
                wide, high = (
                    np.float32(right) - np.float32(left),
                    np.float32(bottom) - np.float32(top),
                )
                put(
                    f'{{"image_id":{image}, "category_id":{COCO_IDS[k]}, '
                    f'"bbox":[{left:f}, {top:f}, {wide:f}, {high:f}], "score":{prob:f}}}'
                )

        yield add


@contextmanager
def _bdd(folder: Path, out: str | None, names: Sequence[str]) -> Iterator[Add]:
    with replacing(folder / f"{out or 'bdd_results'}.json") as file, _list(file) as put:

        def add(seen: Seen, found: Candidates) -> None:
            name = json.dumps(last(seen.path).replace(".jpg", ""), ensure_ascii=False)
            for k, prob, *corners in detections(seen, found):
                box = ", ".join(f"{one:f}" for one in corners)
                put(
                    f'\t{{\n\t\t"name":{name},\n\t\t"category":"{BDD_NAMES[k]}",\n'
                    f'\t\t"bbox":[{box}],\n\t\t"score":{prob:f}\n\t}}'
                )

        yield add


@contextmanager
def _list(file: BinaryIO) -> Iterator[Callable[[str], None]]:
    """Write a JSON list to a file; give the function that adds an item."""
    between = b"[\n"

    def put(item: str) -> None:
        nonlocal between
        file.write(between + item.encode(errors="backslashreplace"))  # JSON's own escape
        between = b",\n"

    yield put
    file.write((b"[" if between == b"[\n" else b"") + b"\n]\n")


@contextmanager
def _imagenet(folder: Path, out: str | None, names: Sequence[str]) -> Iterator[Add]:
    with replacing(folder / f"{out or 'imagenet-detection'}.txt") as file:

        def add(seen: Seen, found: Candidates) -> None:
            for k, prob, *corners in detections(seen, found):
                box = " ".join(f"{one:f}" for one in corners)
                file.write(f"{seen.index + 1} {k + 1} {prob:f} {box}\n".encode())

        yield add


@contextmanager
def _voc(folder: Path, out: str | None, names: Sequence[str]) -> Iterator[Add]:
    begin = "comp4_det_test_" if out is None else out
    with ExitStack() as stack:
        paths = [folder / f"{begin}{name.translate(NO_FOLDER)}.txt" for name in names]
        opened = {path: stack.enter_context(replacing(path)) for path in dict.fromkeys(paths)}
        files = [opened[path] for path in paths]  # classes of one name share a file

        def add(seen: Seen, found: Candidates) -> None:
            for k, prob, *corners in detections(seen, found, offset=1):
                box = " ".join(f"{one:f}" for one in corners)
                line = f"{stem(seen.path)} {prob:f} {box}\n"
                files[k].write(line.encode(errors="surrogateescape"))  # the bytes of the path

        yield add


@contextmanager
def _kitti(folder: Path, out: str | None, names: Sequence[str]) -> Iterator[Add]:
    data = folder / (out or "kitti_results") / "data"
    make_folder(data)

    def add(seen: Seen, found: Candidates) -> None:
        lines = [
            f"{KITTI_NAMES[k]} -1 -1 -10 {' '.join(f'{one:f}' for one in corners)} "
            f"-1 -1 -1 -1000 -1000 -1000 -10 {prob:f}\n"
            for k, prob, *corners in detections(seen, found)
        ]
        write_text(data / f"{stem(seen.path)}.txt", "".join(lines))

    yield add


KINDS: dict[str, Callable[[Path, str | None, Sequence[str]], AbstractContextManager[Add]]] = {
    "voc": _voc,
    "coco": _coco,
    "imagenet": _imagenet,
    "bdd": _bdd,
    "kitti": _kitti,
}
