"""Send pictures through a detector, one after the other, reading the next ones meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.dataset import read_ahead
from ..data.image import read_image
from ..decode import Candidates
from ..errors import DarkpyError
from ..network import Network

log = logging.getLogger(__name__)

Outputs = dict[int, NDArray[np.float32]]


class Finder(Protocol):
    """The part of a `darkpy.Detector` that measuring needs."""

    network: Network
    letter_box: bool
    classes: int
    names: tuple[str, ...]

    def prepare(self, image: NDArray[np.uint8], letter_box: bool) -> NDArray[np.float32]: ...

    def forward(self, x: NDArray[np.float32]) -> Outputs: ...

    def decode(
        self,
        outputs: Outputs,
        size: tuple[int, int],
        thresh: float,
        letter_box: bool,
        nms: float,
    ) -> Candidates: ...


@dataclass(frozen=True)
class Seen:
    """A picture that went through the network, and what came out.

    index   its place in the list, from 0
    """

    index: int
    path: str
    width: int
    height: int
    outputs: Outputs


class Pictures:
    """The pictures of a list, sent through a detector as one iterates over them.

    A picture that cannot be read is reported, left out, and remembered in ``failed``.
    """

    def __init__(
        self, detector: Finder, paths: Sequence[str], letter_box: bool | None = None
    ) -> None:
        self.detector = detector
        self.paths = paths
        self.letter_box = detector.letter_box if letter_box is None else letter_box
        self.failed: list[str] = []

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Seen]:
        for index, (path, prepared) in enumerate(read_ahead(self.paths, self._prepare)):
            if isinstance(prepared, DarkpyError):
                log.error("%s", prepared)
                self.failed.append(path)
                continue
            x, width, height = prepared
            yield Seen(index, path, width, height, self.detector.forward(x))

    def _prepare(self, path: str) -> tuple[NDArray[np.float32], int, int]:
        image = read_image(path, self.detector.network.image.c)
        height, width = image.shape[:2]
        return self.detector.prepare(image, self.letter_box), width, height

    def boxes(self, seen: Seen, thresh: float, nms: float) -> Candidates:
        """Return the boxes of a picture that are more probable than thresh, after suppression.

        nms  the overlap above which a box gives way to a more probable one; 0 keeps all
        """
        size = (seen.width, seen.height)
        return self.detector.decode(seen.outputs, size, thresh, self.letter_box, nms)
