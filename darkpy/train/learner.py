"""Learner: what computes the steps of a Trainer, and what all of that kind have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import TrainingError
from ..layers.base import Array
from ..loss import LOSSES, HeadLoss, Moment, Truths
from ..network import Network, Node
from ..run import Tape
from .optimizer import STATISTICS, Arrays, Optimizer, averaged
from .ranks import Ranks

if TYPE_CHECKING:
    from ..plan.cuda import CudaPlan
    from ..plan.cuda.step import CudaStepPlan, CudaTraining
    from ..plan.step import StepPlan, Training

AnyTape = TypeVar("AnyTape", bound="Tape | StepPlan | CudaStepPlan")
Measure: TypeAlias = "Callable[[NDArray[np.float32]], list[Arrays]]"
Plans: TypeAlias = "Callable[[int], CudaPlan]"
KEPT = 24  # sizes of pictures that are ready at once


class Learner(ABC, Generic[AnyTape]):
    """The arithmetic of a training: on the processor `OnHost`, on a device `OnDevice`.

    params  one dict of arrays a node, which are changed in place
    ranks   who trains this network together
    ops     kernels of the processor

    An iteration is `begin`; of each mini-batch `losses`, then `back`; `update`; and at the end of a
    training `follow`.

    Attributes: ``losing``, the nodes that have a loss; ``optimizer``; ``average``, the moving
    average of the weights, or None; ``tapes``, which run pictures of a size back to a layer;
    ``room``, which the plans have in common; ``adds_early``, whether the last way back of an
    iteration adds up the gradients of all ranks, who must agree before (`add_up`).
    """

    room: Training | CudaTraining
    adds_early = False

    def __init__(
        self, network: Network, params: Sequence[dict[str, Array]], ranks: Ranks, ops: Any
    ) -> None:
        self.network = network
        self.params = params
        self.ranks = ranks
        self.ops = ops
        self.losing = losing(network)
        self.optimizer = Optimizer(network, params, ops)
        self.average: list[Arrays] | None = None
        self.tapes: dict[tuple[int, int, int], AnyTape] = {}

    def fetch(self) -> None:
        """Let ``params``, ``optimizer`` and ``average`` be what steps have made of them.

        Whoever changes them then changes the next step.
        """

    def begin(self) -> None:
        """Be ready for the gradients of an iteration."""

    def tape(self, height: int, width: int, stop: int) -> AnyTape:
        """Return what runs inputs of this size, and back to layer ``stop``.

        Raises TrainingError if the parameters do not fit them.
        """
        key = (height, width, stop)
        if key not in self.tapes:
            if len(self.tapes) >= KEPT:
                self.tapes.clear()
            self.tapes[key] = self.new_tape(self._sized(height, width), stop)
        tape = self.tapes[key]
        for frame in tape.frames:
            frame.grads.clear()
        return tape

    @abstractmethod
    def new_tape(self, network: Network, stop: int) -> AnyTape:
        """Return what runs this network, which is as large as the pictures."""

    def _sized(self, height: int, width: int) -> Network:
        own = self.network
        if (height, width) == own.image[1:]:
            return own
        network = own.resized(height, width)
        for node, other in zip(own.nodes, network.nodes, strict=True):
            if node.params != other.params:
                raise TrainingError(
                    f"{node.where}: takes pictures of {own.image.w} x {own.image.h} only; got "
                    f"{width} x {height}"
                )
        return network

    def add_up(self) -> None:
        """Let the next way back, the last of this iteration, add up the gradients of all ranks."""

    def losses(
        self, tape: AnyTape, images: NDArray[np.float32], truths: Truths, moment: Moment
    ) -> dict[int, HeadLoss]:
        """Take a mini-batch forward; return the losses by head."""
        outputs = tape.forward(images)
        with np.errstate(all="ignore"):  # as in the tape
            return {
                node.index: LOSSES[node.layer.section](
                    self.ops, node.layer, outputs[node.index], truths, moment
                )
                for node in self.losing
            }

    def back(self, tape: AnyTape, losses: dict[int, HeadLoss], stop: int) -> None:
        """Take the gradients of losses back to layer ``stop``."""
        tape.backward({i: loss.gradient for i, loss in losses.items()}, stop, image=False)

    def culprit(self, network: Network, images: NDArray[np.float32]) -> str:
        """Return where the first output lies that is not finite, in a second run forward."""
        self.fetch()
        tape = Tape(network, self.params, self.ops, True, None, self.optimizer.frozen)
        for node, y in zip(network.nodes, tape.activations(images), strict=True):
            if not np.isfinite(y).all():
                return node.where
        return self.losing[-1].where

    def require_own(self, batch: int) -> None:
        """Raise NotFinite for what of an iteration this rank alone can see."""

    @abstractmethod
    def update(self, tape: AnyTape, rate: float, batch: int, iteration: int) -> None:
        """Move the parameters against the gradients of all ranks.

        Raises NotFinite for a gradient that is no finite number, unless ``try_fix_nan=1`` takes it
        for 0, and for a parameter that became none.
        """

    def start_average(self) -> None:
        """Let the moving average be the weights as they are."""
        o = self.network.options
        self.average = [
            {name: self.params[node.index][name].copy() for name in averaged(node, o)}
            for node in self.network.nodes
        ]

    @abstractmethod
    def follow(self, applies: bool) -> None:
        """Let the moving average follow the weights, or the weights be the average."""

    def statistics(self, nodes: Sequence[Node]) -> Measure:
        """Return what runs pictures, and tells where rolling averages that are 0 come to by them.

        nodes  whose averages, which run as in training; the others run as in inference
        """
        params = [dict(own) for own in self.params]
        tape = Tape(self.network, params, self.ops, True)
        for frame in tape.frames:
            frame.train = False
        for node in nodes:
            tape.frames[node.index].train = True

        def measure(images: NDArray[np.float32]) -> list[Arrays]:
            moving = [params[node.index] for node in nodes]
            for own in moving:
                own |= {name: np.zeros_like(own[name]) for name in STATISTICS}
            tape.forward(images)
            return [{name: own[name] for name in STATISTICS} for own in moving]

        return measure

    def plans(self, params: Sequence[Arrays]) -> Plans | None:
        """Return what makes plans of inference for so many pictures, which read the parameters
        where steps have them; None: there is no such place, and they are made of ``params``.

        params  those of the training; copies are made of arrays that are others
        """
        return None


def losing(network: Network) -> tuple[Node, ...]:
    """Return the nodes of a network that have a loss; TrainingError if there is none."""
    found = tuple(node for node in network.nodes if _loses(node))
    if not found:
        known = ", ".join(f"[{name}]" for name in LOSSES)
        raise TrainingError(f"{network.path}: no layer has a loss; expected one of {known}")
    return found


def _loses(node: Node) -> bool:
    """Tell whether a layer adds to the loss."""
    return node.layer.section in LOSSES and not getattr(node.layer, "noloss", False)
