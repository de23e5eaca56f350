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

    Raises DarkpyError if it cannot be written; the old file is then untouched.
    """
    target = expand(path)
    partial = target.with_name(f"{target.name[:60]}.{secrets.token_hex(4)}.partial")
    try:
        with open(partial, "xb") as file:
            yield file
        os.replace(partial, target)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise DarkpyError(f"{path}: cannot be written: {reason(error)}") from None
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())
