"""TensorBoard's event files, under the tags of PyTorch-YOLOv3."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..cfg import reason
from ..data.image import Image
from ..draw import encode_image
from .figures import Evaluation, Progress
from .gallery import reduced

log = logging.getLogger(__name__)

PATIENCE = 10.0  # seconds that an event may stay in memory
LONGEST = 480  # pixels of an image's longer side; its sum is made slowly, in Python


class Events:
    """The event file of a run, or of its part since a resumption.

    first  the iteration that comes next: what earlier files of the folder say of it, and of later
           ones, TensorBoard then hides

    Events are written in the caller's thread. One that cannot be ends them, with a warning: a
    training does not die of its log.
    """

    def __init__(self, folder: str | Path, first: int = 1) -> None:
        self.folder = Path(folder)
        self._first = first
        self._writer: Any = None
        self._has_failed = False
        self._flushed = time.monotonic()

    def add(self, progress: Progress, evaluation: Evaluation | None = None) -> None:
        """Write the figures of an iteration."""
        self._write(progress.iteration, _scalars(progress, evaluation))
        if evaluation is not None or time.monotonic() > self._flushed + PATIENCE:
            self._flush()

    def add_images(self, iteration: int, images: Sequence[Image]) -> None:
        """Write the pictures (h, w, 3) uint8 blue-green-red with the highest loss."""
        named = {f"validation/worst_{k}": image for k, image in enumerate(images, 1)}
        self._write(iteration, {tag: reduced(image, LONGEST) for tag, image in named.items()})
        self._flush()

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._writer is not None:
            self._flush()
            with suppress(OSError):  # what cannot be flushed cannot be closed either
                self._writer.close()
        self._writer = None

    def _write(self, iteration: int, values: dict[str, float | Image]) -> None:
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        def write() -> None:
            summary = Summary(value=[_value(tag, value) for tag, value in values.items()])
            event = Event(wall_time=time.time(), step=iteration, summary=summary)
            self._open().write(event.SerializeToString())

        self._attempt(write)

    def _open(self) -> Any:
        """Return the writer of this run's file; tensorboardX's queued one would hang on errors."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        if self._writer is None:
            earlier = len(list(self.folder.glob("events.out.tfevents.*")))
            now = time.time()
            name = f"events.out.tfevents.{now:.0f}.{platform.node()}.{earlier}"
            self._writer = RecordWriter(str(self.folder / name))
            version = Event(wall_time=now, file_version="brain.Event:2")
            start = SessionLog(status=SessionLog.START)
            begins = Event(wall_time=now, step=self._first, session_log=start)
            for event in (version, begins):
                self._writer.write(event.SerializeToString())
        return self._writer

    def _flush(self) -> None:
        if self._writer is not None:
            self._attempt(self._writer.flush)
        self._flushed = time.monotonic()

    def _attempt(self, action: Callable[[], None]) -> None:
        if self._has_failed:
            return
        try:
            action()
        except OSError as error:
            self._has_failed = True
            message = "%s: no more events for TensorBoard: %s; the training goes on"
            log.warning(message, self.folder, reason(error))


def _scalars(progress: Progress, evaluation: Evaluation | None) -> dict[str, float | Image]:
    """Return the figures by tag; the parts of the loss are means over the heads, as the loss is."""
    heads = progress.heads
    count = max(1, len(heads))
    values: dict[str, float | Image] = {
        "train/iou_loss": sum(head.box for head in heads) / count,
        "train/obj_loss": sum(head.objectness for head in heads) / count,
        "train/class_loss": sum(head.classification for head in heads) / count,
        "train/loss": progress.loss,
        "train/learning_rate": progress.rate,
    }
    if evaluation is not None:
        values |= {
            "validation/loss": evaluation.loss,
            "validation/precision": evaluation.precision,
            "validation/recall": evaluation.recall,
            "validation/mAP": evaluation.map50,
            "validation/mAP50_95": evaluation.map50_95,
            "validation/f1": evaluation.f1,
        }
        if not np.isnan(evaluation.train_map50):
            values["train/mAP"] = evaluation.train_map50
    return values


def _value(tag: str, value: float | Image) -> Any:
    from tensorboardX.proto.summary_pb2 import Summary

    if isinstance(value, np.ndarray) and value.ndim == 3:
        data = encode_image(".jpg", value)
        height, width, channels = value.shape
        image = Summary.Image(
            height=height, width=width, colorspace=channels, encoded_image_string=data
        )
        return Summary.Value(tag=tag, image=image)
    return Summary.Value(tag=tag, simple_value=float(value))
