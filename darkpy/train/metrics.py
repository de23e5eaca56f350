"""metrics.csv: the figures of a run, a row an iteration, that survive a crash and a resumption."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..cfg import reason
from ..errors import DarkpyError
from .figures import Evaluation, Progress

log = logging.getLogger(__name__)

OF_ITERATION = (
    *("iteration", "epoch", "loss", "avg_loss", "rate"),
    *("width", "height", "batch", "truths", "pictures"),
)
OF_HEAD = ("box", "objectness", "class", "count", "iou")
OF_EVALUATION = ("val_loss", "map50", "map50_95", "precision", "recall", "f1", "train_map50")
OF_TIME = ("seconds", "waited", "images_per_second")
MOST_CLASSES = 100  # with a column of their own; each costs a byte in every row
END = b"\r\n"  # of a row, as RFC 4180 has it
TAIL = 1 << 16  # bytes that the longest row does not reach


def columns(heads: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the header: heads are named as in `HeadFigures`, names are those of the classes.

    Of more than a hundred classes none has a column of its average precision.
    """
    of_heads = [f"{head}_{part}" for head in heads for part in OF_HEAD]
    of_classes = _class_columns(names) if len(names) <= MOST_CLASSES else []
    return [*OF_ITERATION, *of_heads, *OF_EVALUATION, *of_classes, *OF_TIME]


def _class_columns(names: Sequence[str]) -> list[str]:
    """Return ap_NAME of each class, in letters, digits and _; of equal ones with its number."""
    safe = ["ap_" + "".join(one if one.isalnum() else "_" for one in name) for name in names]
    return [f"{one}_{k}" if safe.count(one) > 1 else one for k, one in enumerate(safe)]


class MetricsFile:
    """metrics.csv, open for appending: UTF-8, RFC 4180, numbers such that reading gives them back.

    Columns that an iteration has no figure for are empty. Only the last three, the times, differ
    between two runs of the same command. A row that cannot be written, on a full disk, is kept and
    written with a later one; a warning says so once.
    """

    def __init__(self, path: str | Path, heads: Sequence[str], names: Sequence[str]) -> None:
        self.path = Path(path)
        self.columns = columns(heads, names)
        self.size = 0  # bytes that are surely in the file
        self._waiting = b""
        self._has_failed = False
        self._file: BinaryIO | None = None

    def create(self) -> None:
        """Begin an empty file. Raises DarkpyError if there is one, or it cannot be written."""
        try:
            self._file = open(self.path, "xb", buffering=0)
            self._write(_line(self.columns))
        except FileExistsError:
            message = "is of an earlier run; resume that one, or choose another folder"
            raise DarkpyError(f"{self.path}: {message}") from None
        except OSError as error:
            raise DarkpyError(f"{self.path}: cannot be written: {reason(error)}") from None

    def resume(self, size: int) -> None:
        """Go on after the first ``size`` bytes; later rows, and one torn in two, are dropped.

        Raises DarkpyError if the file has other columns, or cannot be written.
        """
        if not self.path.exists():
            log.warning("%s: is gone; its figures before the resumption are lost", self.path)
            return self.create()
        try:
            end = _end_of_row(self.path, _line(self.columns), size)
            self._file = open(self.path, "r+b", buffering=0)
            self._file.truncate(end)
        except OSError as error:
            raise DarkpyError(f"{self.path}: cannot be resumed: {reason(error)}") from None
        self.size = end
        if end < size:
            log.warning("%s: some rows before the resumption are lost", self.path)

    def add(self, progress: Progress, evaluation: Evaluation | None) -> None:
        """Append the row of an iteration, with the evaluation of the weights it led to."""
        self._waiting += _line(_cells(progress, evaluation, self.columns))
        self.flush()

    def flush(self) -> None:
        """Write the rows that wait, if the disk lets us."""
        try:
            self._write(self._waiting)
        except OSError as error:
            if not self._has_failed:
                message = "%s: cannot be written: %s; the rows wait until it can"
                log.warning(message, self.path, reason(error))
            self._has_failed = True
        else:
            self._waiting, self._has_failed = b"", False

    def _write(self, data: bytes) -> None:
        """Write after the rows that are surely there."""
        assert self._file is not None, "create or resume first"
        self._file.seek(self.size)
        written = self._file.write(data)
        if written != len(data):
            raise OSError("no space is left")  # the next attempt writes over this one
        self.size += written

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self.flush()
            self._file.close()
            self._file = None


def _end_of_row(path: Path, header: bytes, size: int) -> int:
    """Return where the last whole row within the first ``size`` bytes of a file ends."""
    with open(path, "rb") as file:
        if file.read(len(header)) != header:
            columns = header.decode().strip()
            message = "is of another network or other classes; move it away"
            raise DarkpyError(f"{path}:1: {message}; expected the columns {columns}")
        size = min(size, file.seek(0, io.SEEK_END))
        start = max(len(header), size - TAIL) - len(END)
        file.seek(start)
        tail = file.read(max(size - start, len(END)))
    return start + tail.rfind(END) + len(END)


def _cells(
    progress: Progress, evaluation: Evaluation | None, names: Sequence[str]
) -> list[int | float | str]:
    """Return the values of a row; ``names`` are its columns."""
    cells: list[int | float | str] = [getattr(progress, name) for name in OF_ITERATION]
    for head in progress.heads:
        cells += [head.box, head.objectness, head.classification, head.count, head.iou]
    if evaluation is not None:
        assert evaluation.iteration == progress.iteration, "an evaluation of another iteration"
        cells += [evaluation.loss]
        cells += [getattr(evaluation, name) for name in OF_EVALUATION[1:]]
        cells += evaluation.ap.tolist()
    before_times = len(names) - len(OF_TIME)
    cells = (cells + [""] * before_times)[:before_times]
    rate = progress.batch / progress.seconds if progress.seconds > 0 else 0.0
    return [*cells, progress.seconds, progress.waited, rate]


def _line(cells: Sequence[int | float | str]) -> bytes:
    """Return a row as bytes; csv writes Python's own floats as repr does."""
    text = io.StringIO()
    csv.writer(text).writerow(one.item() if isinstance(one, np.generic) else one for one in cells)
    return text.getvalue().encode()


def read_metrics(path: str | Path, most: int | None = None) -> dict[str, NDArray[np.float64]]:
    """Read a metrics.csv: an array for each column, nan where it is empty; a torn row is left out.

    most  rows to read at most, evenly chosen, besides the last and those with an evaluation:
          a long run is then read in a fraction of a second
    Raises DarkpyError if it cannot be read, or a row is not as the header says.
    """
    try:
        lines = Path(path).read_bytes().split(END)[:-1]
    except OSError as error:
        raise DarkpyError(f"{path}: cannot be read: {reason(error)}") from None
    if not lines:
        raise DarkpyError(f"{path}: is empty; expected the metrics.csv of a run")
    names, *rows = (row.decode("utf-8", "replace") for row in _chosen(lines, most))
    header = next(csv.reader([names]))
    try:
        cells = [[float(one or "nan") for one in row] for row in csv.reader(rows)]
        table = np.array(cells, np.float64).reshape(-1, len(header))
    except ValueError:
        raise DarkpyError(
            f"{path}: a row is not {len(header)} numbers; is it the metrics.csv of a run?"
        ) from None
    return dict(zip(header, table.T, strict=True))


def _chosen(lines: list[bytes], most: int | None) -> list[bytes]:
    """Return the header, the rows with an evaluation, the last, and ``most`` of the others."""
    if most is None or len(lines) - 1 <= most:
        return lines
    step = -(-(len(lines) - 1) // most)
    names = lines[0].split(b",")
    empty = b"," * (sum(one.startswith(b"ap_") for one in names) + len(OF_EVALUATION) + 1)
    rows = enumerate(lines[1:], 1)
    return [
        lines[0],
        *(row for k, row in rows if k % step == 0 or k == len(lines) - 1 or empty not in row),
    ]
