"""TrainingSet: the pictures to train on with their objects, in a drawn order; and what is bad."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DarkpyError, DataError, ImageError
from ..files import make_folder, write_text
from ..randomness import generator
from .dataset import Fault, Labels, Scan, read_ahead, scan_labels
from .image import Image, read_image
from .sources import label_path

log = logging.getLogger(__name__)

Sampling = Literal["epoch", "darknet"]

READERS = 8  # threads that read label files; they wait for the disk more than they compute
BEYOND = 0.01  # of the picture: rounding puts boxes a pixel over its edge
CONSEQUENCES = {
    "malformed": "the rest of the file is not read",
    "class": "the object is left out",
    "not finite": "the object is left out",
    "outside": "the object is left out",
    "no area": "the object is left out",
    "beyond": "the box is cut at the picture's edge",
}


class TrainingSet:
    """Pictures with their objects, every label checked and in memory.

    paths     of the pictures; their label files are where `label_path` says
    classes   how many there are
    sampling  "epoch": every picture once in len(paths) draws, each epoch in another order;
              "darknet": each draw from all

    What cannot be used is left out as darknet does (data.c:fill_truth_detection) and remembered:
    objects of another class, with a NaN, without area, or wholly outside the picture; what follows
    a line that is not five numbers; pictures that are missing or whose labels cannot be read.

    Attributes: ``faults`` of the labels, by file; ``objects``, how many there are; ``unlabelled``,
    how many pictures have no label file, which means no object.
    Raises DataError if no picture is there, or no object in any.
    """

    def __init__(
        self, paths: Sequence[str | Path], classes: int, sampling: Sampling = "epoch"
    ) -> None:
        if not paths:
            raise DataError("no picture to train on: the list is empty")
        if sampling not in ("epoch", "darknet"):
            raise DataError(f"sampling {sampling!r}: expected 'epoch' or 'darknet'")
        self.paths = [str(path) for path in paths]
        self.classes = classes
        self.sampling = sampling
        self.faults: list[Fault] = []
        self._bad: dict[int, str] = {}  # index: why the picture cannot be used
        self._missing: list[Path] = []
        self._rows, self._ends = self._read()
        self._require_objects()
        self._order = lru_cache(2)(self._permutation)  # pictures of two epochs may be under way

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def objects(self) -> int:
        """How many objects there are in all pictures."""
        return len(self._rows)

    @property
    def sizes(self) -> NDArray[np.float32]:
        """Width and height of every object, (objects, 2) in 0..1 of its picture."""
        return self._rows[:, 3:]

    @property
    def unlabelled(self) -> int:
        """How many pictures have no label file."""
        return len(self._missing)

    @property
    def bad_pictures(self) -> dict[str, str]:
        """The pictures found so far that cannot be used, by name, each with the reason."""
        bad = dict(self._bad)  # a copy first: the threads of a loader may add to it
        return {self.paths[i]: bad[i] for i in sorted(bad, key=self.paths.__getitem__)}

    def labels(self, index: int) -> Labels:
        """Return the objects of a picture: (k, 5) float32 class, x, y, w, h; not to be changed."""
        return self._rows[self._ends[index] : self._ends[index + 1]]

    def read(self, index: int, channels: int) -> Image:
        """Decode a picture: (h, w, channels) uint8.

        Raises ImageError, and remembers it, for one that cannot be used.
        """
        if index in self._bad:
            raise ImageError(self._bad[index])
        try:
            return read_image(self.paths[index], channels)
        except ImageError as error:
            self._bad[index] = str(error)
            log.warning("%s; another picture takes its place", error)
            raise

    def draw(self, seed: int, position: int) -> int:
        """Return the index of the picture that comes after ``position`` others in a training."""
        if self.sampling == "darknet":
            return int(generator(seed, "sampling", position).integers(len(self)))
        epoch, place = divmod(position, len(self))
        return int(self._order(seed, epoch)[place])

    def summary(self) -> list[str]:
        """Return what is wrong: a line for each kind, with the first case and their number."""
        lines = []
        if self._bad:
            bad = self.bad_pictures
            lines.append(f"{next(iter(bad.values()))}; {_of(len(bad), len(self))} cannot be used")
        if self._missing:
            which = f"{self._missing[0]}: no label file, which means no object"
            lines.append(f"{which}; so {_of(self.unlabelled, len(self))}")
        kinds = Counter(fault.kind for fault in self.faults)
        for kind, count in kinds.items():
            of_kind = [fault for fault in self.faults if fault.kind == kind]
            files = len({fault.path for fault in of_kind})
            more = f" ({count} such lines in {files} files)" if count > 1 else ""
            lines.append(f"{of_kind[0]}; {CONSEQUENCES[kind]}{more}")
        return lines

    def write_lists(self, folder: str | Path) -> None:
        """Write bad.list, the pictures that cannot be used, and bad_label.list, the faults.

        A list with nothing to say is not written, but emptied if it is there from an earlier run.
        Raises DarkpyError if it cannot be written.
        """
        faults = sorted(self.faults)
        lists = {"bad.list": list(self.bad_pictures), "bad_label.list": list(map(str, faults))}
        make_folder(folder)
        for name, lines in lists.items():
            path = Path(folder, name)
            if lines or path.exists():
                write_text(path, "".join(f"{line}\n" for line in lines))

    def digest(self) -> str:
        """Return a SHA-256 of the names below their common folder, sizes of files, and objects."""
        found = hashlib.sha256()
        for path, name in zip(self.paths, _relative(self.paths), strict=True):
            size = os.path.getsize(path) if os.path.isfile(path) else -1
            found.update(f"{name}\0{size}\n".encode(errors="surrogateescape"))
        found.update(self._ends.astype("<i8").tobytes())
        found.update(self._rows.astype("<f4").tobytes())
        return found.hexdigest()

    def _permutation(self, seed: int, epoch: int) -> NDArray[np.intp]:
        return generator(seed, "order", epoch).permutation(len(self))

    def _read(self) -> tuple[Labels, NDArray[np.int64]]:
        """Read all label files; return all objects, and where those of each picture begin."""
        rows: list[Labels] = []
        for index, (_, look) in enumerate(read_ahead(self.paths, self._look, READERS)):
            if isinstance(look, DarkpyError):
                self._bad[index] = str(look)
                rows.append(np.empty((0, 5), np.float32))
                continue
            if not look.exists:
                self._missing.append(look.label)
            self.faults += look.scan.faults
            rows.append(self._placed(look))
        ends = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        whole = np.concatenate(rows)
        whole.flags.writeable = False
        return whole, ends

    def _look(self, path: str) -> _Look:
        if not os.path.isfile(path):
            raise DataError(f"{path}: no such file")
        label = label_path(path)
        exists = os.path.isfile(label)
        return _Look(label, exists, scan_labels(label, self.classes))

    def _placed(self, look: _Look) -> Labels:
        """Return the objects whose boxes have an area within the picture; note the others."""
        labels, lines, _ = look.scan
        keep = np.ones(len(labels), bool)
        for wrong, kind, what in _misplaced(labels):
            for i in np.flatnonzero(wrong & keep):
                box = " ".join(f"{value:g}" for value in labels[i, 1:])
                self.faults.append(Fault(str(look.label), lines[i], kind, f"{what}: {box}"))
            if kind != "beyond":
                keep &= ~wrong
        return labels[keep]

    def _require_objects(self) -> None:
        if len(self._bad) == len(self):
            where = os.path.abspath(os.path.dirname(self.paths[0]))
            raise DataError(
                f"{self._bad[0]}; nor can any other of the {len(self)} pictures be used; looked "
                f"for in {where}; the names in a list are relative to it or to the working folder"
            )
        if self.objects:
            return
        if len(self._missing) + len(self._bad) == len(self):
            raise DataError(
                f"{self._missing[0]}: no such file, nor a label file of any other picture; it is "
                "looked for beside the picture, then in a folder labels/ instead of images/"
            )
        classes = next((fault for fault in self.faults if fault.kind == "class"), None)
        if classes:
            raise DataError(
                f"{classes}; no object of any picture has such a class: do 'classes' and 'names' "
                "belong to these labels?"
            )
        first = self.faults[0] if self.faults else label_path(self.paths[0])
        raise DataError(f"{first}: no picture has an object that can be trained on")


class _Look(NamedTuple):
    label: Path
    exists: bool
    scan: Scan


def _misplaced(labels: Labels) -> Iterator[tuple[Any, str, str]]:
    """Yield which boxes have a fault, (k,) bool, its kind, and the words for it."""
    if not len(labels):
        return
    centre, size = labels[:, 1:3], labels[:, 3:]
    low, high = centre - size / 2, centre + size / 2
    yield (size <= 0).any(1), "no area", "a box without area"
    outside = (high < 0).any(1) | (low > 1).any(1) | (centre == 0).all(1)
    yield outside, "outside", "a box outside the picture"
    beyond = (low < -BEYOND).any(1) | (high > 1 + BEYOND).any(1)
    yield beyond, "beyond", "a box that reaches beyond the picture"


def _of(count: int, total: int) -> str:
    return f"{count} of {total} pictures"


def _relative(paths: Sequence[str]) -> Iterator[str]:
    """Yield paths relative to the folder that they have in common, with slashes."""
    full = [os.path.abspath(path) for path in paths]
    try:
        root = os.path.commonpath([os.path.dirname(path) for path in full])
    except ValueError:  # on two drives
        return iter(full)
    return (os.path.relpath(path, root).replace(os.sep, "/") for path in full)
