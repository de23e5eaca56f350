"""Write files whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .cfg import expand, reason
from .errors import DarkpyError


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
            partial = target.with_name(f"{target.name[:40]}.{secrets.token_hex(4)}.partial")
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
