"""From matches to numbers, and from numbers to the table that darknet prints."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray

from .average_precision import average_precision
from .match import Matches, match

THRESH = 0.005  # what darknet's map asks of a detection
NMS = 0.45

HINT = (  # printed after the table
    "",
    "Set -points flag:",
    " `-points 101` for MS COCO ",
    " `-points 11` for PascalVOC 2007 (uncomment `difficult` in voc.data) ",
    " `-points 0` (AUC) for ImageNet, PascalVOC 2010-2012, your custom dataset",
)


@dataclass(frozen=True)
class Report:
    """How good detections are.

    ap          (classes,) float64, average precision, 0..1; 0 for a class without truth
    tp, fp      (classes,) int64, right and wrong detections of more than ``thresh``
    truths      (classes,) int64, objects there are
    detections  number of them, of any probability
    avg_iou     mean IoU of the detections above thresh, a wrong one counting as 0
    """

    ap: NDArray[np.float64]
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    truths: NDArray[np.int64]
    detections: int
    avg_iou: float
    thresh: float
    iou_thresh: float
    points: int

    @property
    def map(self) -> float:
        """The mean of all classes' average precision, 0..1, those without truth included."""
        return float(self.ap.mean())

    @property
    def fn(self) -> int:
        """Objects that no detection above thresh found."""
        return int(self.truths.sum() - self.tp.sum())

    @property
    def precision(self) -> float:
        """The share of the detections above thresh that are right; nan if there is none."""
        return ratio(self.tp.sum(), self.tp.sum() + self.fp.sum())

    @property
    def recall(self) -> float:
        """The share of the objects that were found; nan if there is none."""
        return ratio(self.tp.sum(), self.truths.sum())

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall; nan if either is or both are 0."""
        precision, recall = np.float32(self.precision), np.float32(self.recall)
        return ratio(2 * precision * recall, precision + recall)


def ratio(part: SupportsFloat, whole: SupportsFloat) -> float:
    """Return part / whole, nan where whole is 0; in float32, so that darknet's digits come out."""
    return float(np.float32(part) / np.float32(whole)) if whole else math.nan


def evaluate(
    matches: Sequence[Matches],
    classes: int,
    *,
    thresh: float = 0.25,
    iou_thresh: float = 0.5,
    points: int = 0,
) -> Report:
    """Make a report of the detections of many pictures.

    matches     one per picture
    thresh      above which a detection counts for tp, fp, precision, recall and avg_iou
    iou_thresh  above which the overlap of a detection with a truth makes a match
    points      of the average precision: 0, 11, 101 (see `average_precision`)

    Above thresh, the detection that comes first in its picture is the one that finds a truth, even
    if it is below thresh itself; for average precision it is the most probable one. A detection
    of a difficult object is left out of the average precision, but is an fp. All as in darknet.
    """
    none = np.zeros((0, 5), np.float32)
    matches = [match(none[:, 1:], none, none), *matches]  # there may be no picture
    prob, class_id, local, overlap, difficult, objects = map(
        np.concatenate, zip(*matches, strict=True)
    )
    starts = np.cumsum([0, *(len(one.objects) for one in matches[:-1])])
    matched = overlap > iou_thresh
    truth = local + np.repeat(starts, [len(one.prob) for one in matches])
    truth = np.where(matched, truth, -1)
    truths = np.bincount(objects, minlength=classes)

    above = prob > thresh
    right = above & first_of(truth)
    tp = np.bincount(class_id[right], minlength=classes)
    fp = np.bincount(class_id[above & ~right], minlength=classes)
    kept = matched | ~(difficult > iou_thresh)
    return Report(
        ap=_average_precisions(prob[kept], class_id[kept], truth[kept], truths, points),
        tp=tp,
        fp=fp,
        truths=truths,
        detections=int(kept.sum()),
        avg_iou=float(overlap[right].sum(dtype=np.float64)) / max(1, int(above.sum())),
        thresh=thresh,
        iou_thresh=iou_thresh,
        points=points,
    )


def first_of(truth: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell of each detection whether it has a truth and none before it has the same."""
    first = np.zeros(len(truth), np.bool_)
    first[np.unique(truth, return_index=True)[1]] = True
    return first & (truth >= 0)


def _average_precisions(
    prob: NDArray[np.float32],
    class_id: NDArray[np.int32],
    truth: NDArray[np.intp],
    truths: NDArray[np.int64],
    points: int,
) -> NDArray[np.float64]:
    """Return the average precision of each class."""
    order = np.argsort(-prob, kind="stable")
    order = order[np.argsort(class_id[order], kind="stable")]  # by class, the most probable first
    right = first_of(truth[order])
    ends = np.cumsum(np.bincount(class_id, minlength=len(truths)))
    ap = np.zeros(len(truths))
    for k, part in enumerate(np.split(right, ends[:-1])):
        if truths[k] and len(part):
            tp = np.cumsum(part)
            ap[k] = average_precision(tp / np.arange(1, len(part) + 1), tp / truths[k], points)
    return ap


def table(report: Report, names: Sequence[str]) -> Iterator[str]:
    """Yield the lines that darknet's ``detector map`` prints about a finished measurement."""
    total = int(report.truths.sum())
    yield ""
    yield f" detections_count = {report.detections}, unique_truth_count = {total}  "
    for k, (ap, tp, fp) in enumerate(zip(report.ap, report.tp, report.fp, strict=True)):
        yield (
            f"class_id = {k}, name = {names[k]}, ap = {100 * ap:2.2f}%   \t (TP = {tp}, FP = {fp}) "
        )
    at = f" for conf_thresh = {report.thresh:.2f}"
    yield ""
    yield (
        f"{at}, precision = {report.precision:.2f}, recall = {report.recall:.2f}, "
        f"F1-score = {report.f1:.2f} "
    )
    yield (
        f"{at}, TP = {report.tp.sum()}, FP = {report.fp.sum()}, FN = {report.fn}, "
        f"average IoU = {100 * report.avg_iou:2.2f} % "
    )
    used = f"{report.points} Recall-points" if report.points else None
    yield ""
    yield (
        f" IoU threshold = {100 * report.iou_thresh:2.0f} %, "
        f"used {used or 'Area-Under-Curve for each unique Recall'} "
    )
    yield (
        f" mean average precision (mAP@{report.iou_thresh:.2f}) = {report.map:f}, "
        f"or {100 * report.map:2.2f} % "
    )
