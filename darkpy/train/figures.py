"""The figures of a training: what an iteration, and what an evaluation, has to say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..loss import HeadLoss, Truths
from ..network import Node


@dataclass(frozen=True)
class HeadFigures:
    """What one head lost in an iteration, a picture on average.

    name    "yolo_16": section and index of the layer
    count   truths of the iteration that an anchor of this head was given
    iou     mean IoU of the head's boxes with those truths; nan if there is none
    """

    name: str
    box: float
    objectness: float
    classification: float
    count: int
    iou: float


class Losses:
    """The losses of each head, added up over the mini-batches of an iteration."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.names = {node.index: f"{node.layer.section}_{node.index}" for node in nodes}
        self.sums = {node.index: np.zeros(3) for node in nodes}
        self.counts = dict.fromkeys(self.names, 0)
        self.overlaps = dict.fromkeys(self.names, 0.0)
        self.truths = 0

    @property
    def numbers(self) -> list[float]:
        """All of them, that can be added to another rank's."""
        each = ((*self.sums[i].tolist(), self.counts[i], self.overlaps[i]) for i in self.names)
        return [self.truths, *(value for head in each for value in head)]

    def take(self, numbers: NDArray[np.float64]) -> None:
        """Be what the `numbers` of several ranks add up to."""
        self.truths = round(float(numbers[0]))
        for i, head in zip(self.names, numbers[1:].reshape(-1, 5), strict=True):
            self.sums[i] = head[:3]
            self.counts[i] = round(float(head[3]))
            self.overlaps[i] = float(head[4])

    def add(self, losses: dict[int, HeadLoss], truths: Truths) -> None:
        """Add the losses of a mini-batch, by index of their heads, and its truths."""
        self.truths += sum(map(len, truths))
        for i, loss in losses.items():
            self.sums[i] += (loss.box, loss.objectness, loss.classification)
            self.counts[i] += loss.count
            self.overlaps[i] += loss.iou * loss.count if loss.count else 0.0

    def _means(self, batch: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
        return ((i, sums / batch) for i, sums in self.sums.items())

    def of(self, batch: int) -> tuple[HeadFigures, ...]:
        """Return the figures of a batch of so many pictures."""
        return tuple(
            HeadFigures(
                self.names[i],
                box=float(box),
                objectness=float(objectness),
                classification=float(classification),
                count=self.counts[i],
                iou=self.overlaps[i] / self.counts[i] if self.counts[i] else math.nan,
            )
            for i, (box, objectness, classification) in self._means(batch)
        )


@dataclass(frozen=True)
class Progress:
    """An iteration that is done.

    iteration  counts from 1
    epoch      pictures seen, in lengths of the train list
    loss       darknet's, as its iteration line has it; avg_loss is that smoothed
    rate       learning rate of the update
    width, height  of the network's input in this iteration
    pictures   seen since the first iteration
    truths     objects in the pictures of this iteration
    seconds    this iteration took, and loading how long of it was waited for
    """

    iteration: int
    epoch: float
    loss: float
    avg_loss: float
    rate: float
    width: int
    height: int
    pictures: int
    batch: int
    truths: int
    heads: tuple[HeadFigures, ...]
    seconds: float
    waited: float


@dataclass(frozen=True)
class Evaluation:
    """What the weights of an iteration are worth on pictures they were not trained on.

    loss         of the validation pictures, unaugmented: a picture on average; as darknet's loss
    map50        mAP at IoU .5 (or what -iou_thresh says), darknet's area under the curve, 0..1
    map50_95     mean of the mAP at IoU .5, .55 .. .95, 0..1
    precision, recall, f1   at -thresh
    ap           (classes,) average precision of each class at .5
    train_map50  mAP at .5 of a fixed part of the training pictures; nan if there is none
    best         no evaluation of this run before had a higher map50
    """

    iteration: int
    loss: float
    map50: float
    map50_95: float
    precision: float
    recall: float
    f1: float
    ap: NDArray[np.float64]
    train_map50: float
    best: bool
