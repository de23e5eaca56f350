"""Lists of pictures, label files, and pictures read ahead of their use.

A list names one picture a line. A label file has a line ``class x y w h`` per object, centre and
size in 0..1 of the picture (darknet's data.c:read_boxes); a picture without one has no objects.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..cfg import expand, find_file, read_lines, reason
from ..errors import DarkpyError, DataError, shorten
from .sources import LONGEST_LIST, label_path, pictures_in

log = logging.getLogger(__name__)

Labels = NDArray[np.float32]  # (n, 5): class, x, y, w, h
Result = TypeVar("Result")

LONGEST_PATH = 4096  # characters
MOST_PICTURES = 10_000_000  # of a list; Open Images has nine million
LONGEST_LABELS = 4 << 20  # bytes; a thousand objects take 40 thousand
LARGEST = 3.4e38  # float32 has no larger number
LARGEST_CLASS = 1_000_000  # float32 counts to 16 million, and a counter per class must fit memory
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def read_list(path: str | Path) -> list[str]:
    """Return the pictures that a list names, one a line, or those that a folder holds.

    Blank lines do not count. A relative name is looked for beside the list and then in the working
    directory (`darkpy.cfg.find_file`); one that is nowhere stays in the list. Raises CfgError for
    what is no text, DataError for what names no picture.
    """
    if os.path.isdir(expand(path)):
        found = [str(one) for one in pictures_in(path)]
    else:
        found = [find_file(line, str(path), beside=False) for line in _lines(path)]
    if not found:
        raise DataError(f"{path}: names no picture; expected one path a line")
    return found


class Fault(NamedTuple):
    """A line of a label file that is not as it should be, or a file as a whole (line 0).

    kind  a word or two, the same for all faults of a sort: "malformed", "class", "not finite"
    """

    path: str
    line: int
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}" if self.line else f"{self.path}: {self.what}"


class Scan(NamedTuple):
    """The objects of a label file, the line of each, and the faults of the others."""

    labels: Labels
    lines: list[int]
    faults: list[Fault]


def read_labels(path: str | Path, classes: int | None = None) -> Labels:
    """Read a label file: (n, 5) float32 class, x, y, w, h; a missing file has no objects.

    classes  how many there are: an object of another class is left out, as is one with a NaN or
             an infinity, and a warning names the first such line

    As darknet does, reading stops at the first line that is not five numbers; a warning names it.
    Raises DataError for a file that cannot be read or is longer than 4 MiB.
    """
    labels, _, faults = scan_labels(path, classes)
    left_out = [fault for fault in faults if fault.kind != "malformed"]
    for fault in faults[len(left_out) :]:
        log.warning("%s; the rest is not read", fault)
    if left_out:
        more = f" ({len(left_out)} such lines)" if len(left_out) > 1 else ""
        log.warning("%s; the object is left out%s", left_out[0], more)
    return labels


def scan_labels(path: str | Path, classes: int | None = None) -> Scan:
    """Read a label file as `read_labels` does, and return what is wrong with it instead of a log.

    Of the faults "malformed" can only be the last: the rest of the file is not read.
    """
    limit = LARGEST_CLASS if classes is None else classes
    rows: list[tuple[float, ...]] = []
    lines: list[int] = []
    faults: list[Fault] = []

    def fault(kind: str, what: str) -> None:
        faults.append(Fault(str(path), number, kind, what))

    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        row = _numbers(words)
        if row is None:
            fault("malformed", f"expected 'class x y width height', got {shorten(line.strip())}")
            break
        if not 0 <= row[0] < limit:
            fault("class", f"class {row[0]:.0f}: expected 0 to {limit - 1}")
        elif not max(map(abs, row)) <= LARGEST or any(map(math.isnan, row)):
            fault("not finite", f"{shorten(line.strip())} is not finite")
        else:
            rows.append(row)
            lines.append(number)
    return Scan(np.array(rows, np.float32).reshape(-1, 5), lines, faults)


def read_truths(pictures: Iterable[str], classes: int | None = None) -> list[Labels]:
    """Read the label file of each picture, as `read_labels` does.

    Raises DataError if there is none for any: then they are not where they are looked for.
    """
    truths: list[Labels] = []
    missing: list[Path] = []
    for picture in pictures:
        name = label_path(picture)
        if not os.path.isfile(name):
            missing.append(name)
        truths.append(read_labels(name, classes))
    if missing and len(missing) == len(truths):
        raise DataError(
            f"{missing[0]}: no such file, nor a label file of any other picture; it is looked for "
            "beside the picture, then in a folder labels/ instead of images/"
        )
    if missing:
        log.warning(
            "%d of %d pictures have no label file, which means no object; the first is %s",
            len(missing),
            len(truths),
            missing[0],
        )
    return truths


def read_difficult(path: str | Path, pictures: int, classes: int | None = None) -> list[Labels]:
    """Read the truths that a ``difficult`` list of a .data file stands for, in the order of valid.

    The list names a picture per picture of ``valid``, whose label file holds the difficult objects
    only; the pictures themselves need not exist. Raises DataError if the lists differ in length.
    """
    lines = list(_lines(path))
    if len(lines) != pictures:
        raise DataError(f"{path}: expected {pictures} lines, one per picture, got {len(lines)}")
    return [read_labels(_label_of(line, path), classes) for line in lines]


def _label_of(line: str, named_in: str | Path) -> Path:
    """Return the label file of a picture that may not exist: beside the list, then from here."""
    path = expand(line.replace("\\", "/"))
    tried = [label_path(expand(named_in).parent / path), label_path(path)]
    return next((one for one in tried if os.path.isfile(one)), tried[0])


def read_ahead(
    paths: Iterable[str], read: Callable[[str], Result], workers: int = 2
) -> Iterator[tuple[str, Result | DarkpyError]]:
    """Call ``read`` on each path in background threads; yield path and result in the given order.

    Where it raised a DarkpyError, that is the result. No more than ``workers + 1`` results wait.
    """
    waiting: deque[tuple[str, Future[Result | DarkpyError]]] = deque()
    with ThreadPoolExecutor(workers, "darkpy-read") as pool:
        for path in paths:
            waiting.append((path, pool.submit(_result_or_error, read, path)))
            if len(waiting) > workers + 1:
                yield _take(waiting)
        while waiting:
            yield _take(waiting)


def _take(
    waiting: deque[tuple[str, Future[Result | DarkpyError]]],
) -> tuple[str, Result | DarkpyError]:
    path, future = waiting.popleft()
    return path, future.result()


def _result_or_error(read: Callable[[str], Result], path: str) -> Result | DarkpyError:
    try:
        return read(path)
    except DarkpyError as error:
        return error


def _numbers(words: list[str]) -> tuple[float, ...] | None:
    """Return the five numbers of a line, None if they are not."""
    if len(words) != 5 or not WHOLE.fullmatch(words[0]) or any("_" in word for word in words):
        return None
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        return None


def _text(path: str | Path) -> str:
    """Return the text of a label file, whatever its bytes; empty if there is no file."""
    try:
        with open(path, "rb") as file:
            data = file.read(LONGEST_LABELS + 1)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from None
    if len(data) > LONGEST_LABELS:
        raise DataError(f"{path}: longer than {LONGEST_LABELS >> 20} MiB; is it a label file?")
    return data.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _lines(path: str | Path) -> Iterator[str]:
    """Yield the lines of a list that are not blank."""
    for number, line in enumerate(map(str.strip, read_lines(path, LONGEST_LIST)), 1):
        if len(line) > LONGEST_PATH:
            raise DataError(f"{path}:{number}: expected a path, got {shorten(line)}")
        if number > MOST_PICTURES:
            raise DataError(f"{path}: has more than {MOST_PICTURES:,} lines; is it a list?")
        if line:
            yield line
