"""The weights and the state that a run saves, to be used, gone on from, and gone back to."""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

from ..errors import DarkpyError, TrainingError
from ..files import keep_as, make_folder
from ..layers.base import Array
from .course import Course
from .record import Record
from .state import load_state, save_state
from .trainer import Trainer

log = logging.getLogger(__name__)

LONGEST_UNSAVED = 600.0  # seconds


class Backup:
    """Weights in a folder, named as darknet names them, and the state in the folder of the run.

    NAME_last.weights, NAME_ema.weights (of an average), state.npz   of the last save
    NAME_1000.weights, NAME_best.weights, NAME_final.weights         when the run says so
    settled.npz   the state of the last save that was due, where state.npz is of one that was not

    folder   of the weights, which are named after ``base``
    told     is called with each file of weights that was written
    saved    iteration of the state on the disk, -1 if there is none

    A file that cannot be written is a warning, given once, and tried again with the next save.
    """

    def __init__(
        self,
        trainer: Trainer,
        record: Record,
        folder: Path,
        base: str,
        told: Callable[[Path], None],
        saved: int = -1,
    ) -> None:
        self.trainer = trainer
        self.record = record
        self.folder = folder
        self.base = base
        self.told = told
        self.saved = saved
        self._when = time.monotonic()
        self._unwritten: dict[Path, DarkpyError] = {}

    def path(self, mark: str | int) -> Path:
        """Return the path of the weights of that mark, as darknet names them."""
        return self.folder / f"{self.base}_{mark}.weights"

    @property
    def state_path(self) -> Path:
        """The file that `darkpy.train.state` keeps in the folder of the run."""
        return self.record.folder / "state.npz"

    @property
    def settled_path(self) -> Path:
        """The state of the last save that was due, where state.npz is of one that was not."""
        return self.record.folder / "settled.npz"

    @property
    def is_overdue(self) -> bool:
        """Whether the last save was too long ago."""
        return time.monotonic() - self._when > LONGEST_UNSAVED

    def save(self, course: Course, due: bool = True) -> None:
        """Write NAME_last.weights, NAME_ema.weights if there is an average, and the state.

        due  by the count of iterations: the training saves here however often it was stopped
             before, and it is here that it goes back to when a loss is not finite
        """
        if not due and self.saved == course.settled:
            self.attempt(self.settled_path, partial(keep_as, self.state_path))
        self.write_weights("last")
        if self.trainer.average is not None:
            write = partial(self.trainer.save_weights, average=True)
            self.attempt(self.path("ema"), write)
        course.offsets = self.record.offsets()
        before, course.settled = course.settled, self.trainer.iteration if due else course.settled
        if self.attempt(self.state_path, partial(self._write_state, course)):
            self.saved = self.trainer.iteration
            if due:
                _remove(self.settled_path)
        else:
            course.settled = before
        self._when = time.monotonic()

    def _write_state(self, course: Course, path: Path) -> None:
        save_state(path, self.trainer, asdict(course))

    def write_weights(
        self, mark: str | int, params: Sequence[dict[str, Array]] | None = None
    ) -> bool:
        """Write weights, of the trainer if no others are given, and tell whether they could be."""
        path = self.path(mark)
        is_written = self.attempt(path, partial(self.trainer.save_weights, params=params))
        if is_written:
            self.told(path)
        return is_written

    def remove_numbered(self, iteration: int, keep: int) -> None:
        """Remove numbered weights but for the newest; those above are of an earlier run."""
        numbered = self.folder.glob(f"{glob.escape(self.base)}_*.weights")
        marks = [path.stem.removeprefix(f"{self.base}_") for path in numbered]
        past = sorted(int(mark) for mark in marks if mark.isdecimal())
        own = [mark for mark in past if mark <= iteration]
        for mark in own[:-keep]:
            _remove(self.path(mark))

    def attempt(self, path: Path, write: Callable[[Path], None]) -> bool:
        """Write a file, and tell whether it could be; if not, say so once, and remember it."""
        try:
            make_folder(path.parent)
            write(path)
        except DarkpyError as error:
            if path not in self._unwritten:
                log.warning("%s; the training goes on, and tries again with the next save", error)
            self._unwritten[path] = error
            return False
        self._unwritten.pop(path, None)
        return True

    def require_written(self) -> None:
        """Raise TrainingError unless the last weights and the state are on the disk."""
        for path in (self.state_path, *map(self.path, ("last", "ema", "final"))):
            if path in self._unwritten:
                saved = f"; what is saved is iteration {self.saved}" if self.saved >= 0 else ""
                raise TrainingError(f"{self._unwritten[path]}{saved}")

    def go_back(self) -> Course:
        """Put the trainer where the last save was that was due; return what the run remembered.

        That is the state, unless it was saved when no save was due.
        """
        course = Course(**load_state(self.state_path, self.trainer))
        if course.settled != self.trainer.iteration and self.settled_path.is_file():
            course = Course(**load_state(self.settled_path, self.trainer))
            with suppress(OSError):
                os.replace(self.settled_path, self.state_path)
        self.saved = self.trainer.iteration
        return course


def _remove(path: Path) -> None:
    with suppress(OSError):  # where it cannot be, it does no harm
        path.unlink(missing_ok=True)
