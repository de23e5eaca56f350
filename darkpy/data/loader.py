"""Loader: batches of a training, made by threads ahead of their use.

Threads are enough, since decoding, resizing and colouring release Python's lock. OpenCV's own
number of threads is left as it is: for pictures of this size it makes no difference.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .augment import Augmentation, sample
from .crop import Size
from .dataset import Labels
from .training import TrainingSet

MOST_WORKERS = 8  # as a default


class Batch(NamedTuple):
    """Pictures of an iteration.

    images     (n, c, h, w) float32, 0..1, red first
    truths     for each picture (k, 5) float32: class, x, y, w, h, centre and size in 0..1
    paths      of each picture, or of the first of those that it is mixed from
    iteration  how many came before, from the beginning of the training
    """

    images: NDArray[np.float32]
    truths: list[Labels]
    paths: list[str]
    iteration: int

    def part(self, slots: range) -> Batch:
        """Return some of its pictures, which are side by side."""
        some = slice(slots.start, slots.stop)
        return Batch(self.images[some], self.truths[some], self.paths[some], self.iteration)


class Loader:
    """An iterator of batches, which threads make in advance.

    batch    pictures of an iteration: a number, or a function of the iteration
    size     (height, width) of the network's input, or a function of the iteration; functions are
             asked some iterations in advance and, for ``batch``, of all before ``start`` too
    start    the first iteration, from 0; the batches are those of a training from 0 on
    stop     the iteration after the last one; None is no end
    own      the slots to fill of a batch of so many pictures; the others stay as they are. By
             default all are filled
    workers  threads; by default one a processor, at most MOST_WORKERS
    ahead    batches that are made or wait beside the one in use: so many lie in memory

    The batches depend on data set, augmentation, seed and the functions, on nothing else. What goes
    wrong in a thread is raised by ``next``. Close it, or use it in a ``with``, to end its threads.
    """

    def __init__(
        self,
        dataset: TrainingSet,
        augmentation: Augmentation,
        *,
        seed: int,
        batch: Callable[[int], int] | int,
        size: Callable[[int], Size] | Size,
        start: int = 0,
        stop: int | None = None,
        own: Callable[[int], range] = range,
        workers: int | None = None,
        ahead: int = 2,
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.seed = seed
        self._batch = batch if callable(batch) else lambda _: batch
        self._size = size if callable(size) else lambda _: size
        self._stop = math.inf if stop is None else stop
        self._own = own
        self._ahead = ahead
        self._next = start
        self._position = (
            sum(map(batch, range(start))) if callable(batch) else start * batch
        )  # pictures before that iteration
        self._pool = ThreadPoolExecutor(
            workers or min(os.cpu_count() or 1, MOST_WORKERS), "darkpy-load"
        )
        self._waiting: deque[tuple[Batch, list[Future[None]]]] = deque()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        while len(self._waiting) <= self._ahead and self._next < self._stop:
            self._begin()
        if not self._waiting:
            self.close()
            raise StopIteration
        batch, slots = self._waiting.popleft()
        try:
            for slot in slots:
                slot.result()
        except BaseException:
            self.close()
            raise
        return batch

    def _begin(self) -> None:
        """Have the threads make the next batch."""
        count, size = self._batch(self._next), self._size(self._next)
        images = np.empty((count, self.augmentation.channels, *size), np.float32)
        batch = Batch(images, [np.empty((0, 5), np.float32)] * count, [""] * count, self._next)
        slots = [
            self._pool.submit(self._fill, batch, slot, self._position + slot, size)
            for slot in self._own(count)
        ]
        self._waiting.append((batch, slots))
        self._next += 1
        self._position += count

    def _fill(self, batch: Batch, slot: int, position: int, size: Size) -> None:
        made = sample(self.dataset, self.augmentation, self.seed, position, size)
        batch.images[slot], batch.truths[slot], batch.paths[slot] = made

    def close(self) -> None:
        """End the threads, after the picture that each is at; there are no batches afterwards."""
        self._stop = 0
        self._waiting.clear()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
