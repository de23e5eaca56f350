"""Write files whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .cfg import expand, reason
from .errors import DarkpyError

LONGEST = 59  # characters of a file's name that its partial one repeats: 236 bytes at most


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` for writing; on success it takes the path's place.

    A link stays, and the file it leads to is replaced; what is no file, such as /dev/stdout or a
    pipe, is written itself. Raises DarkpyError if it cannot be; an old file is then untouched.
    """
    target = expand(path)
    if not target.name:
        raise DarkpyError(f"{str(path)!r}: expected the name of a file to write")
    try:
        is_special = target.exists() and not (target.is_file() or target.is_dir())
        if is_special:
            partial, file = None, open(target, "wb")
        else:
            target = Path(os.path.realpath(target))
            partial = target.with_name(f"{target.name[:LONGEST]}.{secrets.token_hex(4)}.partial")
            file = open(partial, "xb")
    except (OSError, ValueError) as error:
        raise _unwritten(path, error) from None
    try:
        with file:
            yield file
        if partial:
            os.replace(partial, target)
    except BaseException as error:
        if partial:
            partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise _unwritten(path, error) from None
        raise


def remove_partials(folder: str | Path, names: str = ".+") -> None:
    """Remove what `replacing` left in a folder when a process was killed in the midst of it.

    names  a regular expression: of the files that were to be written
    """
    try:
        for path in Path(folder).iterdir():
            if re.fullmatch(rf"(?:{names})\.[0-9a-f]{{8}}\.partial", path.name):
                path.unlink(missing_ok=True)
    except OSError:  # the folder is gone, or cannot be written: nothing is worse than before
        pass


def keep_as(path: str | Path, kept: str | Path) -> None:
    """Keep a file under another name as it is now: a link to it where that can be, or a copy.

    `replacing` does not touch what is kept. Raises DarkpyError if it cannot be done.
    """
    make_folder(Path(kept).parent)
    try:
        Path(kept).unlink(missing_ok=True)
        try:
            os.link(path, kept)
        except OSError:
            shutil.copy2(path, kept)
    except OSError as error:
        raise _unwritten(kept, error) from None


def _unwritten(path: str | Path, error: Exception) -> DarkpyError:
    return DarkpyError(f"{path}: cannot be written: {reason(error)}")


def make_folder(path: str | Path) -> None:
    """Make a folder and those above it, unless it is there. Raises DarkpyError if it cannot be."""
    try:
        os.makedirs(path, exist_ok=True)
    except (OSError, ValueError) as error:
        raise DarkpyError(f"{path}: cannot be made: {reason(error)}") from None


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())
