"""The run of a training: iterations, evaluations, and all that is kept of them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.loader import Batch, Loader
from ..errors import DarkpyError, DataError, OutOfMemory, TrainingError
from ..evaluate.report import Report
from ..layers.base import Array
from ..memory import physical_memory
from .backup import Backup
from .course import Course, Ending, Habits, Watch
from .crew import Crew
from .evaluation import Judged, Labelled, evaluate_network
from .figures import Evaluation, Progress
from .finite import NotFinite
from .history import History
from .memory import out_of_memory_advice
from .metrics import read_metrics
from .record import Record
from .schedule import input_size
from .trainer import Trainer
from .verdict import verdict

log = logging.getLogger(__name__)

ROLLBACKS = 3  # after so many losses that are not finite, a fourth ends the run
LEAST_BETWEEN = 100  # iterations from one evaluation to the next, as in darknet
SMOOTHING = 0.1  # of avg_loss
SMOOTHING_OF_TIME = 0.01
DRAWN_EVERY = 100  # iterations
MOST_ROWS = 20_000  # of the figures that a verdict looks at


class Run:
    """A training from where its trainer is to ``max_batches``.

    loader   makes the batches from an iteration on: loader(start) -> Loader
    valid    pictures to evaluate on, or None; ``part`` those of the train list
    backup   the folder of the weights, named after ``base``
    samples  batches to measure statistics with, for weights that are judged (`with_statistics`)
    anchors, sizes   see `darkpy.train.history.History`
    stop     is asked after every iteration; the run then saves and ends
    crew     the other ranks, if there are any
    """

    def __init__(
        self,
        trainer: Trainer,
        loader: Callable[[int], Loader],
        epoch_length: int,
        habits: Habits,
        record: Record,
        backup: Path,
        base: str,
        watch: Watch,
        *,
        names: Sequence[str] = (),
        valid: Labelled | None = None,
        part: Labelled | None = None,
        course: Course | None = None,
        samples: Callable[[], Loader] | None = None,
        anchors: Sequence[tuple[float, float]] = (),
        sizes: NDArray[np.floating[Any]] | None = None,
        stop: Callable[[], bool] = lambda: False,
        crew: Crew | None = None,
    ) -> None:
        self.trainer = trainer
        self.crew = crew or Crew(trainer, trainer.iteration)
        self.loader = loader
        self.epoch_length = epoch_length
        self.habits = habits
        self.record = record
        self.watch = watch
        self.names = tuple(names)
        self.valid = valid
        self.part = part
        at = trainer.iteration
        self.course = course or Course(first=at, numbered=at, evaluated=at)
        self.samples = samples
        self.anchors = anchors
        self.sizes = np.zeros((0, 2)) if sizes is None else sizes
        self.stop = stop
        self.max_batches = trainer.network.options.max_batches
        self.sentences: tuple[str, ...] = ()
        self.backup = Backup(trainer, record, backup, base, watch.saved, at if course else -1)
        self._measured: tuple[int, list[dict[str, Array]]] | None = None  # by iteration

    def go(self) -> Ending:
        """Train to the end, or until something ends it before; what there is, is then saved.

        A file that cannot be written is a warning, and tried again with the next save.
        Raises TrainingError if losses are not finite time and again, if memory does not suffice,
        or if weights and state could not be written at the last.
        """
        try:
            if self.backup.saved < 0:
                self.backup.save(self.course)
                self.backup.require_written()
            return self._go()
        except MemoryError as error:
            raise TrainingError(self.memory_advice(error)) from None

    def _go(self) -> Ending:
        began = time.monotonic()
        how = "finished"
        while self.trainer.iteration < self.max_batches:
            try:
                how = self._advance(began)
                break
            except NotFinite as error:
                self._roll_back(error)
        if how in ("finished", "patience"):
            self._judge()
        self._draw()
        self.backup.require_written()
        return Ending(
            how,
            self.trainer.iteration,
            self.course.best,
            self.backup.path("best") if self.course.best_at else None,
            self.sentences,
        )

    def _advance(self, began: float) -> str:
        """Train until the end, and return which end it is."""
        loader = self.loader(self.trainer.iteration)
        try:
            ready = time.monotonic()
            while (batch := self._next(loader)) is not None:
                how = self._iterate(batch, time.monotonic() - ready)
                if not how and self.stop():
                    how = "stopped"
                if not how and self._is_late(began):
                    how = "hours"
                if how in ("stopped", "hours") or self.backup.is_overdue:
                    self.backup.save(self.course, due=False)
                if how:
                    return how
                ready = time.monotonic()
        finally:
            loader.close()
            self.backup.attempt(self.record.folder / "bad.list", partial(_write_lists, loader))
        return "finished"

    def _next(self, loader: Loader) -> Batch | None:
        """Return the next batch, if there is one; what was learned is saved if none can be made."""
        try:
            return next(loader, None)
        except Exception:
            self.backup.save(self.course, due=False)
            raise

    def _is_late(self, began: float) -> bool:
        limit = self.habits.max_hours * 3600
        return bool(limit) and time.monotonic() - began > limit

    def _iterate(self, batch: Batch, waited: float) -> str:
        """Train a batch and do all that follows it; return how the run ends, or nothing."""
        self.watch.fed(batch.part(self.trainer.own_slots(len(batch.images))))
        started = time.monotonic()
        loss = self.crew.step(batch)
        progress = self._progress(batch, loss, time.monotonic() - started, waited)
        self.watch.iteration(progress, self.course.hours_left, self.course)
        measured = self._evaluate() if self._is_due(progress.iteration) else None
        evaluation = measured[0] if measured else None
        self.record.add(progress, evaluation)
        if measured:
            evaluation, report, worst = measured
            self.record.add_worst(evaluation.iteration, worst)
            self._judge()
            self.watch.evaluated(evaluation, report, self.sentences)
        how = self._end(evaluation)
        self._number(progress.iteration)
        if how:
            self.backup.write_weights("final", self._to_judge())
        if how or progress.iteration % self.habits.save_every == 0 or evaluation is not None:
            self.backup.save(self.course)
        if progress.iteration % DRAWN_EVERY == 0 or evaluation is not None:
            self._draw()
        return how

    def _end(self, evaluation: Evaluation | None) -> str:
        """Return how the run ends with this iteration, or nothing."""
        if self.trainer.iteration >= self.max_batches:
            return "finished"
        patience = self.habits.patience
        is_stale = evaluation is not None and 0 < patience <= self.course.stale
        return "patience" if is_stale else ""

    def _progress(self, batch: Batch, loss: float, seconds: float, waited: float) -> Progress:
        course, trainer = self.course, self.trainer
        course.pictures += len(batch.images)
        if course.avg_loss < 0 or not math.isfinite(course.avg_loss):
            course.avg_loss = loss
        course.avg_loss = (1 - SMOOTHING) * course.avg_loss + SMOOTHING * loss
        left = (self.max_batches - trainer.iteration) * (seconds + waited) / 3600
        if course.hours_left < 0:
            course.hours_left = left
        smoothing = max(SMOOTHING_OF_TIME, 1 / (1 + trainer.iteration - course.first))
        course.hours_left += smoothing * (left - course.hours_left)
        return Progress(
            iteration=trainer.iteration,
            epoch=course.pictures / self.epoch_length,
            loss=loss,
            avg_loss=course.avg_loss,
            rate=trainer.rate,
            width=batch.images.shape[3],
            height=batch.images.shape[2],
            pictures=course.pictures,
            batch=len(batch.images),
            truths=self.trainer.truths,
            heads=trainer.heads,
            seconds=seconds,
            waited=waited,
        )

    @property
    def next_evaluation(self) -> int:
        """The iteration after which the next evaluation comes."""
        after = max(self.habits.evaluate_every, LEAST_BETWEEN)
        due = max(self.course.evaluated + after, self.trainer.network.options.burn_in)
        return min(due, self.max_batches)

    def _is_due(self, iteration: int) -> bool:
        return bool(self.valid and self.habits.evaluate_every) and iteration >= self.next_evaluation

    def _evaluate(self) -> tuple[Evaluation, Report, list[Judged]] | None:
        """Measure the network; None, and an error in the log, if no picture can be read."""
        assert self.valid is not None
        course, trainer = self.course, self.trainer
        course.evaluated = trainer.iteration
        params = self._to_judge()
        try:
            evaluation, report, worst = evaluate_network(
                trainer.network,
                params,
                self.valid,
                self.part,
                device=trainer.device,
                precision=trainer.precision,
                plans=trainer.plans(params),
                names=self.names,
                iteration=trainer.iteration,
                highest=course.best,
                thresh=self.habits.thresh,
                iou_thresh=self.habits.iou_thresh,
                watch=self.watch.pictures,
            )
        except DataError as error:
            log.error("iteration %d: %s; it is not evaluated", trainer.iteration, error)
            return None
        course.last_map = evaluation.map50
        course.stale = 0 if evaluation.map50 > course.best else course.stale + 1
        if evaluation.best and self.backup.write_weights("best", params):
            course.best, course.best_at = evaluation.map50, trainer.iteration
        return evaluation, report, worst

    def _to_judge(self) -> Sequence[dict[str, Array]]:
        """Return the parameters as they are judged: with statistics measured anew."""
        if self.samples is None:
            return self.trainer.params
        if self._measured is None or self._measured[0] != self.trainer.iteration:
            with self.samples() as batches:
                images = (batch.images for batch in batches)
                self._measured = self.trainer.iteration, self.trainer.with_statistics(images)
        return self._measured[1]

    def _judge(self) -> None:
        """Say what the figures so far mean; nothing new if they cannot be read."""
        try:
            figures = read_metrics(self.record.metrics.path, MOST_ROWS)
        except DarkpyError as error:
            log.warning("%s; there is no verdict", error)
            return
        history = History(
            figures,
            self.trainer.network.options,
            str(self.backup.path("best")) if self.course.best_at else "",
            self.anchors,
            self.sizes,
        )
        self.sentences = tuple(verdict(history))
        self.record.write_verdict(self.sentences)

    def memory_advice(self, error: MemoryError) -> str:
        """Return how a training that ran out of memory could fit."""
        network = self.trainer.network
        o = network.options
        if self.trainer.on_gpu and isinstance(error, OutOfMemory):  # the GPU's, not the machine's
            return f"{error}; with more than subdivisions={o.subdivisions} a mini-batch has fewer"
        height, width = input_size(network, 0, 0)  # the largest
        return out_of_memory_advice(
            network.resized(height, width), self.trainer.batch, o.subdivisions, physical_memory()
        )

    def _draw(self) -> None:
        """Draw the chart, in the run's folder and as darknet names it beside the weights."""
        folder = self.backup.folder
        beside = (folder / f"chart_{self.backup.base}.png", folder / "chart.png")
        most = self.trainer.network.options.max_chart_loss
        self.record.draw_chart(*beside, max_loss=most, iterations=self.max_batches)

    def _number(self, iteration: int) -> None:
        """Write NAME_1000.weights when it is time, and remove those that are too many."""
        course, every = self.course, self.habits.number_every
        if iteration < course.numbered + every and iteration % every:
            return
        course.numbered = iteration
        if self.backup.write_weights(iteration) and self.habits.keep:
            self.backup.remove_numbered(iteration, self.habits.keep)

    def _roll_back(self, error: NotFinite) -> None:
        """Go back to the last state, at half the rate; TrainingError after the third time."""
        at, rate = self.trainer.iteration + 1, self.trainer.next_rate
        pictures = ", ".join(error.pictures[:4]) + (", ..." if len(error.pictures) > 4 else "")
        what = f"iteration {at}: {error}; rate {rate:g}; pictures {pictures}"
        rollbacks, scale = self.course.rollbacks + 1, self.trainer.rate_scale
        if rollbacks > ROLLBACKS:
            raise TrainingError(
                f"{what}; this is the {rollbacks}th time, and the rate was halved each time: "
                "look at the pictures and their labels, or begin with a much lower learning_rate"
            )
        self._measured = None
        self.course = self.backup.go_back()
        self.crew.is_new = True
        self.course.rollbacks = rollbacks
        self.trainer.rate_scale = scale / 2
        self.record.close()
        self.record.resume(self.course.offsets)
        log.warning(
            "%s; back to iteration %d, and on at half the rate (%d of %d times)",
            what,
            self.trainer.iteration,
            rollbacks,
            ROLLBACKS,
        )


def _write_lists(loader: Loader, path: Path) -> None:
    """Write the pictures found bad so far, and the faults of labels, where ``path`` is."""
    loader.dataset.write_lists(path.parent)
