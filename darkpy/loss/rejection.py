"""Deltas of a [yolo] that are taken for those of wrong labels, and teach nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layers.base import Array
from ..net import NetOptions

PACE = 0.01  # of the moving averages, and by which the threshold of the percentage moves


@dataclass(frozen=True)
class Rule:
    """What is rejected in an iteration.

    acts        whether anything is
    sigmas, percentage   what [net] says of the largest; 0 in the first three quarters of a training
    is_distant  whether the smallest are
    progress    from ``equidistant_point`` on, past  from three quarters on: of 1
    """

    acts: bool
    sigmas: float
    percentage: float
    is_distant: bool
    progress: float
    past: float

    @classmethod
    def of(cls, options: NetOptions, iteration: int) -> Rule:
        """Return the rule that [net] gives for an iteration."""
        start, point = options.max_batches * 3 // 4, options.equidistant_point
        is_late = iteration > start
        sigmas = options.num_sigmas_reject_badlabels if is_late else 0
        percentage = options.badlabels_rejection_percentage if is_late else 0
        is_distant = 0 < point < iteration
        progress = (iteration - point) / max(1, options.max_batches - point)
        past = (iteration - start) / max(1, start)
        acts = bool(sigmas or percentage or is_distant)
        return cls(acts, sigmas, percentage, is_distant, progress, past)


def may_reject(options: NetOptions) -> bool:
    """Tell whether there is an iteration whose `Rule` acts."""
    keys = (options.num_sigmas_reject_badlabels, options.badlabels_rejection_percentage)
    return any(keys) or options.equidistant_point > 0


@dataclass
class Rejection:
    """How large the deltas of all [yolo] heads of a network have been; one for a whole training.

    It serves three keys of [net]: ``num_sigmas_reject_badlabels`` and
    ``badlabels_rejection_percentage``, which make the largest deltas 0 after three quarters of the
    training, and ``equidistant_point``, which makes the smallest 0 after that iteration.

    largest, mean, deviation   moving averages of the largest delta, of their mean size and of their
                               deviation from that; deltas that are 0 do not count
    threshold                  beyond which ``badlabels_rejection_percentage`` rejects
    """

    largest: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    threshold: float = 0.0

    def apply(self, gradient: Array, entries: int, options: NetOptions, iteration: int) -> None:
        """Make 0, in place, what is rejected of a gradient; yolo_layer.c:forward_yolo_layer.

        entries  of a box, with its classes
        """
        rule = Rule.of(options, iteration)
        if not rule.acts or not gradient.any():
            return
        low = self.mean * rule.progress * 1.4
        self._follow(gradient)
        if rule.sigmas:
            final = self.mean + self.deviation * rule.sigmas
            self._spread(gradient)
            high = max(final, self.largest - rule.past * abs(self.largest - final))
            gradient[np.abs(gradient) > high] = 0
            low = min(final, self.mean) * rule.progress
        if rule.percentage:
            self._cut(gradient, entries, rule.percentage)
        if rule.is_distant:
            gradient[np.abs(gradient) < low] = 0

    def _follow(self, gradient: Array) -> None:
        sizes = np.abs(gradient[gradient != 0])
        largest = float(sizes.max())
        self.largest = _moved(self.largest or largest, largest)
        self.mean = _moved(self.mean, float(sizes.mean(dtype=np.float64)))

    def _spread(self, gradient: Array) -> None:
        away = -gradient[gradient != 0].astype(np.float64) - self.mean  # signed deltas, as darknet
        self.deviation = _moved(self.deviation, float(np.sqrt(np.mean(away * away))))

    def _cut(self, gradient: Array, entries: int, percentage: float) -> None:
        """Reject what is beyond the threshold, and move that so that in the end few boxes are."""
        self.threshold = self.threshold or self.largest
        rejected = np.abs(gradient) > self.threshold
        share = 100 * entries * rejected.sum() / (gradient != 0).sum()
        gradient[rejected] = 0
        if share > percentage:
            self.threshold += PACE
        elif self.threshold > PACE:
            self.threshold -= PACE


def _moved(average: float, value: float) -> float:
    return average * (1 - PACE) + value * PACE
