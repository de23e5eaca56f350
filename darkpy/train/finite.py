"""Whether the numbers of a training are finite, and what is raised where one is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from ..kernels.cpu.threads import divide, run
from ..network import Node
from .optimizer import Optimizer

SUM = 1e-4  # microseconds to add a number


class NotFinite(TrainingError):
    """A loss, a gradient, or what became of a parameter, that is no finite number.

    where    "yolov4.cfg:12: layer 0 [convolutional]": the first layer that has such a number
    slots    of the batch: which pictures the mini-batch had; ``pictures`` are their files, if known
    """

    def __init__(self, where: str, slots: range, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.slots = slots
        self.what = what
        self.pictures: list[str] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.where, self.slots, self.what)


def odd_gradient(node: Node, name: str, batch: int) -> NotFinite:
    """Return what to raise for a gradient that is not finite."""
    return NotFinite(node.where, range(batch), f"the gradient of its {name} is not finite")


def require_finite(optimizer: Optimizer, batch: int, names: Sequence[str] = ()) -> None:
    """Raise NotFinite if the update, or the batch's statistics, led out of float32.

    names  of the parameters to look at; by default all are, and their moments
    """
    for node, moments in zip(optimizer.network.nodes, optimizer.moments, strict=True):
        for name, values in optimizer.params[node.index].items():
            if names and name not in names:
                continue
            if not all(map(is_finite, (values, *moments.get(name, ())))):
                what = f"its {name} left the range of finite numbers"
                raise NotFinite(node.where, range(batch), what)


@np.errstate(all="ignore")
def is_finite(array: NDArray[np.float32]) -> bool:
    """Tell whether all values are finite numbers; their sum is, but for the rarest of arrays."""
    flat, sums = array.reshape(-1), list[np.float32]()
    run(lambda first, end: sums.append(flat[first:end].sum()), divide(flat.size, flat.size * SUM))
    return bool(np.isfinite(sum(sums)) or np.isfinite(array).all())
