"""The figures of a training: what an iteration, and what an evaluation, has to say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
