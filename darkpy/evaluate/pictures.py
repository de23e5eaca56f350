"""Send pictures through a detector, some at once, and read the next ones meanwhile."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..data.image import Image, read_image
from ..decode import Candidates
from ..errors import DarkpyError
from ..network import Network

log = logging.getLogger(__name__)

GROUP = 8  # pictures that are read together
MOST_READERS = 8
KEPT = 1 << 25  # bytes of the largest picture that is kept for who wants to see it

Outputs = dict[int, NDArray[np.float32]]
Found = tuple[Candidates, float]  # and the loss, nan if nobody asked
Results = tuple[list[Outputs | Found | None], float]


class Finder(Protocol):
    """The part of a `darkpy.Detector` that measuring needs."""

    network: Network
    letter_box: bool
    classes: int
    names: tuple[str, ...]

    @property
    def at_once(self) -> int: ...

    @property
    def finds(self) -> bool: ...

    def ready(
        self, batch: int, asked: tuple[float, float] | None, kind: str | None, judges: bool
    ) -> None: ...

    def prepare(
        self, image: Image, letter_box: bool, out: NDArray[np.float32]
    ) -> NDArray[np.float32]: ...

    def forward_all(self, x: NDArray[np.float32]) -> list[Outputs]: ...

    def find(
        self,
        images: Sequence[Image],
        thresh: float,
        letter_box: bool,
        nms: float,
        kind: str | None,
        *,
        at_once: int,
    ) -> list[Candidates]: ...

    def judge(
        self,
        images: Sequence[Image],
        truths: Sequence[NDArray[np.float32]],
        thresh: float,
        letter_box: bool,
        nms: float,
        kind: str | None,
        *,
        at_once: int,
    ) -> tuple[list[Candidates], list[float]]: ...

    def decode(
        self,
        outputs: Outputs,
        size: tuple[int, int],
        thresh: float,
        letter_box: bool,
        nms: float,
        kind: str | None,
    ) -> Candidates: ...


@dataclass(frozen=True)
class Seen:
    """A picture that went through the network, and what came out.

    index    its place in the list, from 0
    seconds  of the network: of those that were computed at once, each one's share
    kept     the picture (h, w, c), if it was to be kept and is not large
    found    the boxes, if the device found them; there are no outputs then
    loss     of this picture alone, if the device was given its truths
    """

    index: int
    path: str
    width: int
    height: int
    outputs: Outputs
    seconds: float = 0.0
    kept: Image | None = None
    found: Candidates | None = None
    loss: float = math.nan


class Pictures:
    """The pictures of a list, sent through a detector as one iterates over them.

    keep   whether the pictures themselves are wanted (`image`)
    asked  (thresh, nms) of all calls of `boxes`, if boxes are all that is wanted: a GPU then takes
           pictures as they are and gives boxes, and there are no outputs
    kind   as in `Detector.decode`, of all boxes
    truths of each picture (k, 5) float32, if its loss is wanted from a GPU that gives boxes

    A picture that cannot be read is reported, left out, and remembered in ``failed``.

    While the boxes of a group are made, threads send the next one through the network, and read and
    resize the one after.
    """

    def __init__(
        self,
        detector: Finder,
        paths: Sequence[str],
        letter_box: bool | None = None,
        keep: bool = False,
        asked: tuple[float, float] | None = None,
        truths: Sequence[NDArray[np.float32]] | None = None,
        kind: str | None = None,
    ) -> None:
        self.detector = detector
        self.paths = paths
        self.letter_box = detector.letter_box if letter_box is None else letter_box
        self.keep = keep
        self.asked = asked if asked and asked[1] and detector.finds else None
        self.truths = truths
        self.kind = kind
        self.failed: list[str] = []

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Seen]:
        if not self.paths:
            return
        size = even(len(self.paths), GROUP)
        batch = even(size, self.detector.at_once)
        self.detector.ready(batch, self.asked, self.kind, self.truths is not None)
        room = 0 if self.asked else -(-size // batch) * batch  # some of the last are nobody's
        readers = min(os.cpu_count() or 1, MOST_READERS)
        shape = (room, *self.detector.network.image)
        groups = [_Group(np.zeros(shape, np.float32)) for _ in range(3)]
        waiting: deque[tuple[_Group, Future[Results]]] = deque()
        with (
            ThreadPoolExecutor(readers, "darkpy-read") as pool,
            ThreadPoolExecutor(1, "darkpy-forward") as network,
        ):
            for turn, start in enumerate(range(0, len(self.paths), size)):
                group = groups[turn % 3]
                self._begin(pool, group, range(start, start + size))
                waiting.append((group, network.submit(self._forward, group, batch)))
                if len(waiting) == 3:  # one that is read, one that is computed, and this
                    yield from self._seen(*waiting.popleft())
            while waiting:
                yield from self._seen(*waiting.popleft())

    def _begin(self, pool: ThreadPoolExecutor, group: _Group, which: range) -> None:
        """Have pictures read, those of ``which`` that there are."""
        group.paths = {index: self.paths[index] for index in which if index < len(self.paths)}
        places = group.x if len(group.x) else repeat(None)
        group.reads = [
            pool.submit(self._read, path, x)
            for path, x in zip(group.paths.values(), places, strict=False)
        ]

    def _read(self, path: str, x: NDArray[np.float32] | None) -> _Read | DarkpyError:
        """Read a picture, and resize it into x; without x the device is to do that."""
        try:
            image = read_image(path, self.detector.network.image.c)
            if x is not None:
                self.detector.prepare(image, self.letter_box, x)
        except DarkpyError as error:
            return error
        height, width = image.shape[:2]
        kept = image if self.keep and image.nbytes <= KEPT else None
        return _Read(width, height, kept, image if x is None else None)

    def _forward(self, group: _Group, batch: int) -> Results:
        """Return what comes out for each picture of a group that was read, and each one's seconds.

        That is outputs, or boxes if the device finds them; of a picture that was not read, whatever
        there is.
        """
        reads = group.wait()
        start = time.perf_counter()
        results: list[Outputs | Found | None] = []
        if self.asked:
            results = self._find(group, batch, *self.asked)
        else:
            for first in range(0, len(reads), batch):
                results += self.detector.forward_all(group.x[first : first + batch])
        return results, (time.perf_counter() - start) / len(reads)

    def _find(
        self, group: _Group, batch: int, thresh: float, nms: float
    ) -> list[Outputs | Found | None]:
        """Return what the device finds in each picture; the pictures are let go."""
        reads, places = group.wait(), list(group.paths)
        results: list[Outputs | Found | None] = [None] * len(reads)
        good = [(i, one) for i, one in enumerate(reads) if isinstance(one, _Read)]
        how = thresh, self.letter_box, nms, self.kind
        for first in range(0, len(good), batch):
            part = good[first : first + batch]
            images = [one.image for _, one in part if one.image is not None]
            if self.truths is None:
                found = self.detector.find(images, *how, at_once=batch)
                losses = [math.nan] * len(found)
            else:
                truths = [self.truths[places[i]] for i, _ in part]
                found, losses = self.detector.judge(images, truths, *how, at_once=batch)
            for (i, one), boxes, loss in zip(part, found, losses, strict=True):
                results[i], one.image = (boxes, loss), None
        return results

    def _seen(self, group: _Group, computed: Future[Results]) -> Iterator[Seen]:
        """Yield those of a group that could be read."""
        results, seconds = computed.result()
        for read, (index, path), result in zip(
            group.wait(), group.paths.items(), results, strict=False
        ):
            if isinstance(read, DarkpyError):
                log.error("%s", read)
                self.failed.append(path)
                continue
            assert result is not None, "a picture that was read went nowhere"
            own = index, path, read.width, read.height
            if isinstance(result, tuple):
                yield Seen(*own, {}, seconds, read.kept, *result)
            else:
                yield Seen(*own, result, seconds, read.kept)

    def image(self, seen: Seen) -> Image:
        """Return a picture; one that was not kept is read again."""
        if seen.kept is not None:
            return seen.kept
        return read_image(seen.path, self.detector.network.image.c)

    def boxes(self, seen: Seen, thresh: float, nms: float) -> Candidates:
        """Return the boxes of a picture that are more probable than thresh, after suppression.

        nms  the overlap above which a box gives way to a more probable one; 0 keeps all
        """
        if seen.found is not None:
            assert (thresh, nms) == self.asked, "other boxes than were asked for"
            return seen.found
        size = (seen.width, seen.height)
        how = thresh, self.letter_box, nms, self.kind
        return self.detector.decode(seen.outputs, size, *how)


@dataclass
class _Read:
    width: int
    height: int
    kept: Image | None
    image: Image | None  # until the device has it


class _Group:
    """Pictures that are read at once, into x (n, c, h, w); ``paths`` by their places in the list.

    With x for none they are kept as they are.
    """

    def __init__(self, x: NDArray[np.float32]) -> None:
        self.x = x
        self.paths: dict[int, str] = {}
        self.reads: list[Future[_Read | DarkpyError]] = []

    def wait(self) -> list[_Read | DarkpyError]:
        return [one.result() for one in self.reads]


def even(count: int, most: int) -> int:
    """Return how many to take at a time so that groups of ``most`` at most are nearly equal."""
    return -(-count // max(1, -(-count // most)))
