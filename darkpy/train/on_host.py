"""A training on the processor: by plans, or layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .. import kernels
from ..inference import PLAN_FROM
from ..layers.base import Array
from ..network import Network
from ..plan import flops
from ..plan.step import StepPlan, Training
from ..run import Context, Tape
from .finite import is_finite, odd_gradient, require_finite
from .learner import Learner
from .optimizer import STATISTICS
from .ranks import Ranks, add_up


class OnHost(Learner["Tape | StepPlan"]):
    """The arithmetic of a `Trainer` on the processor.

    device  "cpu", or "reference", on which no plan runs

    A network of less than `PLAN_FROM` operations a picture runs eagerly, as in a Detector.
    """

    def __init__(
        self, network: Network, params: Sequence[dict[str, Array]], ranks: Ranks, device: str
    ) -> None:
        super().__init__(network, params, ranks, kernels.ops(device))
        self.planned = device == "cpu" and flops(network) >= PLAN_FROM
        self.room: Training = Training()

    def new_tape(self, network: Network, stop: int) -> Tape | StepPlan:
        """Return what runs this network, which is as large as the pictures."""
        frozen, heads = self.optimizer.frozen, [node.index for node in self.losing]
        if not self.planned:
            return Tape(network, self.params, self.ops, True, None, frozen)
        return StepPlan(network, self.params, frozen, stop, losing=heads, room=self.room)

    def require_own(self, batch: int) -> None:
        """Raise NotFinite for statistics, which alone differ from rank to rank."""
        if self.ranks.size > 1:
            require_finite(self.optimizer, batch, STATISTICS)

    def update(self, tape: Tape | StepPlan, rate: float, batch: int, iteration: int) -> None:
        """Move the parameters against the gradients of all ranks."""
        add_up([grad for frame in _own(tape) for grad in frame.grads.values()], self.ranks)
        grads = self._gradients(tape, batch)
        with np.errstate(all="ignore"):  # what overflows is seen below
            self.optimizer.update(grads, rate, batch, iteration)
        require_finite(self.optimizer, batch)

    def _gradients(self, tape: Tape | StepPlan, batch: int) -> list[dict[str, Array]]:
        """Return the gradients of the iteration; NotFinite if one is no finite number."""
        mends = self.network.options.try_fix_nan
        for node, frame in zip(tape.network.nodes, tape.frames, strict=True):
            for name, grad in frame.grads.items():
                if is_finite(grad):
                    continue
                if not mends:
                    raise odd_gradient(node, name, batch)
                np.nan_to_num(grad, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        return [frame.grads for frame in tape.frames]

    def follow(self, applies: bool) -> None:
        """Let the moving average follow the weights, or the weights be the average."""
        assert self.average is not None, "the average was not begun"
        alpha = self.network.options.ema_alpha
        for mine, mean in zip(self.params, self.average, strict=True):
            for name, value in mean.items():
                if applies:
                    mine[name][...] = value
                else:
                    self.ops.ema_step(value, mine[name], alpha=alpha)


def _own(tape: Tape | StepPlan) -> Iterator[Context]:
    """Yield the frames of the layers that own their parameters, each of which has its gradients."""
    for node, frame in zip(tape.network.nodes, tape.frames, strict=True):
        if node.owner == node.index:
            yield frame
