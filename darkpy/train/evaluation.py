"""Measure what a network in training is worth, on pictures as `darkpy detector map` sees them.

Nothing of the training is touched: the network runs in inference, on its rolling averages, and
draws nothing.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..boxes import letterboxed
from ..data.dataset import Labels
from ..decode import to_detections
from ..detect import Detector
from ..detections import Detections
from ..errors import DataError
from ..evaluate.match import Matches, match
from ..evaluate.pictures import Pictures, Seen
from ..evaluate.report import NMS, THRESH, Report, evaluate
from ..loss import LOSSES, Moment
from ..loss.base import SETTLED
from ..network import Network
from ..randomness import generator
from .figures import Evaluation
from .learner import Plans

OVERLAPS = tuple(round(0.5 + 0.05 * k, 2) for k in range(10))  # of COCO's mAP@.5:.95
LEAST_PART = 100  # training pictures that are measured too, where there are so many

Watch = Callable[[Iterable[Seen], int, str], Iterable[Seen]]


class Labelled(NamedTuple):
    """Pictures, and the truths (k, 5) float32 of each: class, x, y, w, h in 0..1."""

    paths: Sequence[str]
    truths: Sequence[Labels]


class Judged(NamedTuple):
    """A picture that was measured.

    found  what was found above -thresh
    loss   darknet's for a mini-batch of this picture alone: the mean over the heads
    """

    path: str
    truths: Labels
    found: Detections
    loss: float
    matches: Matches


def evaluate_network(
    network: Network,
    params: Sequence[dict[str, NDArray[np.float32]]],
    valid: Labelled,
    train: Labelled | None = None,
    *,
    device: str = "cpu",
    precision: str | None = None,
    plans: Plans | None = None,
    names: Sequence[str] = (),
    iteration: int = 0,
    highest: float = 0.0,
    thresh: float = 0.25,
    iou_thresh: float = 0.5,
    worst: int = 8,
    watch: Watch = lambda pictures, count, what: pictures,
) -> tuple[Evaluation, Report, list[Judged]]:
    """Measure a network on pictures; return the figures, map's own report, and the worst pictures.

    params      one dict of arrays a node, as `Network.initial_params` gives; they are only read
    valid       the validation pictures; thresholds are those of ``darkpy detector map``
    train       the training pictures to measure too (`part_of`); None leaves their mAP out
    device, precision   as `darkpy.load` has them; ``plans``: see `Trainer.plans`
    iteration   that led to params; ``highest`` is the highest map50 of the evaluations before
    thresh      of precision, recall, F1, and of what was found in the worst pictures
    iou_thresh  of map50, precision, recall and F1
    worst       how many validation pictures to return, that of the greatest loss first
    watch       is given the pictures, their number and a word, and yields the pictures: to show
                how far it is, as `darkpy.cli.progress.progress` does

    Pictures that cannot be read are logged and left out. Raises DataError if no validation picture
    can be, and NetworkError for a network without a detection head, or with heads that differ in
    their classes.
    """
    detector = Detector(network, params, names, device, precision=precision, plans=plans)
    pictures = list(_judge(detector, valid, thresh, watch, "valid"))
    if not pictures:
        raise DataError(f"none of the {len(valid.paths)} validation pictures can be read")
    matches = [one.matches for one in pictures]
    report = evaluate(matches, detector.classes, thresh=thresh, iou_thresh=iou_thresh)
    maps = [evaluate(matches, detector.classes, iou_thresh=one).map for one in OVERLAPS]
    train_map50 = math.nan
    if train is not None:
        matches = _matches(detector, train, thresh, watch, {one.path: one for one in pictures})
        train_map50 = evaluate(matches, detector.classes, iou_thresh=iou_thresh).map
    evaluation = Evaluation(
        iteration=iteration,
        loss=math.fsum(one.loss for one in pictures) / len(pictures),
        map50=report.map,
        map50_95=math.fsum(maps) / len(maps),
        precision=report.precision,
        recall=report.recall,
        f1=report.f1,
        ap=report.ap,
        train_map50=train_map50,
        best=report.map >= highest,
    )
    return evaluation, report, heapq.nlargest(worst, pictures, key=_rank)


def part_of(train: Labelled, valid: int, seed: int) -> Labelled:
    """Return the part of the training pictures that evaluations measure, the same for a seed.

    valid  the number of validation pictures: the part has as many, but a hundred at least
    """
    count = min(len(train.paths), max(LEAST_PART, valid))
    chosen = generator(seed, "evaluation").choice(len(train.paths), count, replace=False)
    chosen.sort()
    return Labelled([train.paths[k] for k in chosen], [train.truths[k] for k in chosen])


def _rank(picture: Judged) -> float:
    return picture.loss if math.isfinite(picture.loss) else math.inf


def _matches(
    detector: Detector, train: Labelled, thresh: float, watch: Watch, known: dict[str, Judged]
) -> list[Matches]:
    """Return the matches of the training pictures; those ``known`` already are not run again."""
    pairs = zip(train.paths, train.truths, strict=True)
    rest = [(path, truths) for path, truths in pairs if path not in known]
    new = Labelled([path for path, _ in rest], [truths for _, truths in rest])
    judged = [*_judge(detector, new, thresh, watch, "train")] if rest else []
    found = known | {one.path: one for one in judged}
    return [found[path].matches for path in train.paths if path in found]


def _judge(
    detector: Detector, labelled: Labelled, thresh: float, watch: Watch, what: str
) -> Iterator[Judged]:
    """Run pictures through the network, and judge what it finds in each."""
    pictures = Pictures(detector, labelled.paths, asked=(THRESH, NMS), truths=labelled.truths)
    for seen in watch(pictures, len(pictures), what):
        truths = labelled.truths[seen.index]
        boxes = pictures.boxes(seen, THRESH, NMS)
        found = to_detections(boxes, detector.names, thresh, seen.width, seen.height)
        loss = seen.loss if seen.found is not None else _loss(detector, seen, truths)
        yield Judged(seen.path, truths, found, loss, match(boxes.boxes, boxes.probs, truths))


def _loss(detector: Detector, seen: Seen, truths: Labels) -> float:
    """Return the loss of a picture; nan if no head has one."""
    network = detector.network
    if detector.letter_box:
        _, height, width = network.image
        truths = letterboxed(truths, seen.width, seen.height, width, height)
    moment = Moment(network.image, network.options, SETTLED)
    costs = [
        LOSSES[node.layer.section](
            detector.ops,
            node.layer,
            seen.outputs[node.index].reshape(1, *node.shape),
            [truths],
            moment,
        ).cost
        for node in network.heads
        if node.layer.section in LOSSES
    ]
    return sum(costs) / len(costs) if costs else math.nan
