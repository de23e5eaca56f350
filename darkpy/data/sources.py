"""Where pictures and their labels are: files, folders, globs, lists, and names on a stream."""

from __future__ import annotations

import glob
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from ..cfg import find_file, read_lines, reason
from ..errors import DataError

log = logging.getLogger(__name__)

PICTURES = frozenset(
    ".avif .bmp .dib .exr .gif .hdr .jfif .jp2 .jpe .jpeg .jpg .pbm .pfm .pgm .pic .png .pnm .ppm "
    ".pxm .ras .sr .tif .tiff .webp".split()
)
LONGEST_LIST = 128 << 20  # bytes; a list of two million pictures has about 100 million
LONGEST_LINE = 1 << 16  # characters
LISTS = frozenset((".txt", ".list"))


def sources(
    arguments: Iterable[str | Path], stream: Iterable[str | bytes] | None = None
) -> Iterator[str]:
    """Yield the path of each picture that the arguments name, in their order.

    arguments  a picture; a folder: the pictures in it, by name; a glob (``**`` for folders below);
               a list (.txt, .list): a picture a line, looked for beside the list, then in the
               working directory; ``-``: the names on ``stream``
    stream     by default standard input

    ``~`` is the home folder. A name that matches nothing is yielded as it is: whoever reads it says
    that it is missing. Raises CfgError for a list that cannot be read, DataError for a folder.
    """
    for argument in arguments:
        path = os.path.expanduser(argument)
        if path == "-":
            yield from from_stream(lines_of(sys.stdin) if stream is None else stream)
        elif os.path.isdir(path):
            yield from map(str, pictures_in(path))
        elif os.path.isfile(path):
            yield from _in_list(path) if Path(path).suffix.lower() in LISTS else [path]
        else:
            yield from _matching(path) or [path]


def pictures_in(folder: str | Path) -> list[Path]:
    """Return the pictures in a folder, not below it, sorted by name; warn if there is none.

    Raises DataError for a folder that cannot be read.
    """
    try:
        paths = sorted(Path(os.path.expanduser(folder)).iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {reason(error)}") from None
    found = [path for path in paths if is_picture(path)]
    if not found:
        log.warning("%s: holds no picture", folder)
    return found


def is_picture(path: str | Path) -> bool:
    """Tell whether a path is a file with the extension of a picture."""
    return Path(path).suffix.lower() in PICTURES and os.path.isfile(path)


def lines_of(stream: IO[str]) -> Iterator[str]:
    """Yield the lines of a stream as they come; one longer than any path comes in pieces."""
    while line := stream.readline(LONGEST_LINE):
        yield line


def from_stream(lines: Iterable[str | bytes]) -> Iterator[str]:
    """Yield the names on a stream as they come, one a line; blank lines do not count."""
    for line in lines:
        name = os.fsdecode(line).strip().removeprefix("\ufeff")
        if name:
            yield os.path.expanduser(name)


def _in_list(path: str) -> Iterator[str]:
    for line in read_lines(path, LONGEST_LIST):
        if line.strip():
            yield find_file(line.strip(), path, beside=False)


def _matching(pattern: str) -> list[str]:
    """Return the pictures that a glob matches, sorted."""
    if not glob.has_magic(pattern):
        return []
    return sorted(path for path in glob.iglob(pattern, recursive=True) if is_picture(path))


def label_path(picture: str | Path) -> Path:
    """Return the path of a picture's label file, which need not exist.

    Tried in this order: beside the picture, with .txt for its extension; the same with a folder
    ``images`` or ``JPEGImages`` above it, the nearest first, renamed to ``labels`` (darknet's
    utils.c:replace_image_to_label does so for a few). If none exists, the first is returned.
    """
    stem, extension = os.path.splitext(picture)
    beside = Path(f"{stem}.txt" if extension.lower() in PICTURES else f"{picture}.txt")
    tried = [beside]
    for at in reversed(range(len(beside.parts) - 1)):
        if beside.parts[at] in ("images", "JPEGImages"):
            tried.append(Path(*beside.parts[:at], "labels", *beside.parts[at + 1 :]))
    return next((one for one in tried if os.path.isfile(one)), beside)
