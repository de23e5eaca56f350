"""The errors of darkpy.

DarkpyError
├── CfgError        a .cfg, .data or .names file that cannot be read
├── NetworkError    layers that do not fit together, or that cannot be run
│   └── OutOfMemory memory that does not suffice to run them; a MemoryError too
├── WeightsError    a .weights file that does not fit its network
├── DataError       a list of pictures or a label file that cannot be used
├── ImageError      a picture that cannot be decoded
├── DeviceError     a device that is not there
├── TrainingError   a training that cannot begin or go on
└── DownloadError   a file that could not be fetched whole

Each message begins with where (``yolov4.cfg:127:`` or ``layer 82 [convolutional]:``), says what was
expected and what was found, and suggests a remedy where one is known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DarkpyError(Exception):
    """The base of every error that a user's input can cause."""


class CfgError(DarkpyError):
    """A .cfg, .data or .names file that cannot be read; the message begins with file:line."""


class NetworkError(DarkpyError):
    """Layers that do not fit together, or a network that cannot be run here."""


class OutOfMemory(NetworkError, MemoryError):
    """Memory that does not suffice to run a network; the message names the layer, or the GPU."""


class WeightsError(DarkpyError):
    """A .weights file that does not fit its network; the message names the file."""


class DataError(DarkpyError):
    """A list of pictures, a label file or a set of truths that cannot be used."""


class ImageError(DarkpyError):
    """A picture that cannot be decoded; the message names the file."""


class DeviceError(DarkpyError):
    """A device that darkpy does not have on this machine."""


class TrainingError(DarkpyError):
    """A training that cannot begin or go on."""


class DownloadError(DarkpyError):
    """A file that could not be fetched, or that is not what it should be."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the known word closest to ``word``, or an empty string."""
    near = difflib.get_close_matches(word[:80], list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def shorten(text: str, most: int = 60) -> str:
    """Return ``text`` quoted for a message, cut after ``most`` characters."""
    return repr(text if len(text) <= most else text[:most] + "…")
