"""Deltas of a [yolo] that are taken for those of wrong labels, and teach nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..layers.base import Array
from ..net import NetOptions

PACE = 0.01  # of the moving averages, and by which the threshold of the percentage moves


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
        start = options.max_batches * 3 // 4
        by_deviation = options.num_sigmas_reject_badlabels if iteration > start else 0
        by_share = options.badlabels_rejection_percentage if iteration > start else 0
        point = options.equidistant_point
        distant = 0 < point < iteration
        if not (by_deviation or by_share or distant) or not gradient.any():
            return
        progress = (iteration - point) / max(1, options.max_batches - point)
        low = self.mean * progress * 1.4
        self._follow(gradient)
        if by_deviation:
            final = self.mean + self.deviation * by_deviation
            self._spread(gradient)
            past = (iteration - start) / max(1, start)
            high = max(final, self.largest - past * abs(self.largest - final))
            gradient[np.abs(gradient) > high] = 0
            low = min(final, self.mean) * progress
        if by_share:
            self._cut(gradient, entries, by_share)
        if distant:
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
