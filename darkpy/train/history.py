"""The figures of a training so far, and what can be seen in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..net import NetOptions

Column = NDArray[np.float64]

PARTS = 5  # that the iterations after burn-in are cut into, to see where the loss goes
LEAST_ROWS = 10  # of such a part
SURE = 2  # standard errors
FALL = 0.02  # of the loss from one part to the next: it learns
STILL = 0.05  # it learns no more, if it surely fell by less


class Levels(NamedTuple):
    """The loss in each fifth of the iterations after burn-in: its median, and how sure that is."""

    medians: Column
    errors: Column

    @property
    def fall(self) -> tuple[float, float]:
        """By what share the loss fell into the last fifth from the one before; its error."""
        before, after = self.medians[-2:].tolist()
        if before == 0:
            return 0.0, 0.0
        return 1 - after / before, float(np.hypot(*self.errors[-2:])) / before


@dataclass(frozen=True)
class History:
    """The figures of a training so far.

    columns       of metrics.csv, by name: a row an iteration, nan where there is no figure; of
                  the rows without an evaluation some may be left out, evenly
    options       the keys of [net]
    best_weights  the file of the best weights, if there is one
    anchors       (w, h) of the heads' anchors, in pixels of the network's input
    sizes         (n, 2) width and height of the truths, in the same pixels
    """

    columns: Mapping[str, Column]
    options: NetOptions
    best_weights: str = ""
    anchors: Sequence[tuple[float, float]] = ()
    sizes: NDArray[np.floating[Any]] = field(default_factory=lambda: np.zeros((0, 2)))

    @property
    def last(self) -> int:
        """The last iteration."""
        return int(self.columns["iteration"][-1])

    @property
    def is_over(self) -> bool:
        """Whether no iteration is left."""
        return self.last >= self.options.max_batches

    @cached_property
    def levels(self) -> Levels | None:
        """Where the loss went since burn-in; None if that is too few iterations ago."""
        loss = self.columns["loss"][self.columns["iteration"] > self.options.burn_in]
        if len(loss) < PARTS * LEAST_ROWS or not np.isfinite(loss).all():
            return None
        parts = np.array_split(loss, PARTS)
        medians = [np.median(part) for part in parts]
        spreads = [np.median(abs(part - np.median(part))) for part in parts]
        # Of normal noise: 1.48 makes a deviation of the spread, 1.25 is the median's own error.
        errors = [1.25 * 1.48 * s / len(p) ** 0.5 for s, p in zip(spreads, parts, strict=True)]
        return Levels(np.array(medians), np.array(errors))

    @property
    def falls(self) -> bool:
        """Whether the loss surely falls."""
        if self.levels is None:
            return False
        fall, error = self.levels.fall
        return fall > max(FALL, SURE * error)

    @property
    def is_still(self) -> bool:
        """Whether the loss surely falls no more."""
        if self.levels is None:
            return False
        fall, error = self.levels.fall
        return fall + SURE * error < STILL

    @cached_property
    def evaluations(self) -> dict[str, Column]:
        """The columns of the evaluations, in their rows alone."""
        none = np.full(len(self.columns["iteration"]), np.nan)
        names = ("iteration", "val_loss", "map50", "train_map50")
        columns = {name: self.columns.get(name, none) for name in names}
        rows = np.isfinite(columns["map50"])
        return {name: column[rows] for name, column in columns.items()}

    @property
    def best(self) -> int:
        """The evaluation of the highest mAP, the last of equal ones as in darknet."""
        map50 = self.evaluations["map50"]
        return len(map50) - 1 - int(map50[::-1].argmax())

    @property
    def best_is(self) -> str:
        """The best weights, in words."""
        iteration, map50 = (self.evaluations[name][self.best] for name in ("iteration", "map50"))
        file = f"{self.best_weights}, " if self.best_weights else "those "
        return f"the best weights are {file}of iteration {iteration:.0f} (mAP {share(map50)})"


def share(value: float) -> str:
    """Return a number of 0..1 in two digits: .25, 1.00."""
    return f"{value:.2f}".removeprefix("0")
