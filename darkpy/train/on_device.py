"""A training whose parameters, gradients and update are in the memory of a device."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..kernels.cuda.device import Device
from ..kernels.cuda.optimizer import PATIENCE, SCALE
from ..layers.base import Array
from ..loss import HeadLoss, Moment, Truths
from ..network import Network, Node
from ..plan.cuda.forward import BatchStatistics, compile_forward
from ..plan.cuda.step import CudaStepPlan, CudaTraining, Stage
from .device_optimizer import DeviceOptimizer
from .finite import NotFinite, odd_gradient, require_finite
from .layout import buckets
from .learner import Learner, Measure, Plans
from .optimizer import STATISTICS, Arrays
from .ranks import NcclSums, Ranks

BUCKET = 1 << 20  # numbers, that several devices add up while the way back goes on
LEAST_SCALE = 2.0**-14  # of the loss: below it the gradients of float16 cannot be finite


class OnDevice(Learner[CudaStepPlan]):
    """The arithmetic of a `Trainer` on a device.

    precision  "fp32", "tf32", "fp16" (whose loss is scaled, as much as is found to do) or "bf16"

    Parameters, moments and average of the host are copied to the device and back: `fetch` before
    the host's copies are looked at, after which the device takes them anew.

    Attributes: ``own``, a `DeviceOptimizer`; ``room`` for plans.
    """

    def __init__(
        self,
        network: Network,
        params: Sequence[dict[str, Array]],
        ranks: Ranks,
        device: Device,
        precision: str,
    ) -> None:
        super().__init__(network, params, ranks, kernels.ops("cpu"))
        self.device = device
        self.scaled = precision == "fp16"
        self.adds_early = ranks.size > 1
        self._newer = False  # than the host's copies
        self._lent = True  # the host's copies may have been changed
        with device.scope():
            how = {"patience": PATIENCE, "scale": SCALE} if self.scaled else {}
            self.own = DeviceOptimizer(device, self.optimizer, **how)
            made = CudaTraining(device, precision, self.own, network, params, self._stages())
            self.room: CudaTraining = made
            self.room.scale = SCALE if self.scaled else 1.0
            self._step = device.capture(device.bind(self.own.launches()))
            self._sums = NcclSums(ranks, device.xp) if ranks.size > 1 else None
        self._averaging: Any = None

    def _stages(self) -> list[Stage]:
        """Return what several ranks add up at once; those gradients come last that move nothing."""
        own = self.own.layout
        if self.ranks.size == 1:
            return []
        runs = [(one.start, one.end) for one in buckets(self.network, BUCKET)]
        runs += [(own.learned, own.graded)] if own.learned < own.graded else []
        places = own.places.items()
        return [
            Stage(tuple(key for key, one in places if start <= one.start < end), start, end)
            for start, end in runs
        ]

    def new_tape(self, network: Network, stop: int) -> CudaStepPlan:
        """Return what runs this network, which is as large as the pictures."""
        frozen, heads = self.optimizer.frozen, [node.index for node in self.losing]
        return CudaStepPlan(network, self.params, frozen, stop, losing=heads, room=self.room)

    def fetch(self) -> None:
        """Let the host's copies be what the device has, and take them anew before the next step."""
        if self._newer:
            with self.device.scope():
                self.own.download(self.average)
        self._newer, self._lent = False, True

    def _give(self) -> None:
        """Take the host's copies, if they may have been changed."""
        if self._lent:
            with self.device.scope():
                self.own.upload(self.average)
            self._averaging = None
        self._lent = False

    def begin(self) -> None:
        """Be ready for the gradients of an iteration."""
        self._give()
        self.room.sum = None
        self.room.waits.clear()
        with self.device.scope():
            self.own.clear()

    def add_up(self) -> None:
        """Let the next way back, the last of this iteration, add up the gradients of all ranks."""
        if self._sums is not None:
            self.room.sum = self._sums.sum

    def losses(
        self, tape: CudaStepPlan, images: NDArray[np.float32], truths: Truths, moment: Moment
    ) -> dict[int, HeadLoss]:
        """Take a mini-batch forward, and back as well."""
        self._give()
        self._newer = True  # rolling averages move
        return tape.learn(images, truths, moment)

    def back(self, tape: CudaStepPlan, losses: dict[int, HeadLoss], stop: int) -> None:
        """Do nothing: `losses` has been there."""

    def update(self, tape: CudaStepPlan, rate: float, batch: int, iteration: int) -> None:
        """Move the parameters against the gradients of all ranks."""
        self._give()
        report = self._update(rate, batch, iteration)
        mends = self.network.options.try_fix_nan
        hopes = self.scaled and report["scale"] > LEAST_SCALE  # of a loss that is scaled by less
        if not (report["finite"] or mends or hopes):
            raise self._first_odd(batch)
        if report["left"]:
            self.fetch()
            require_finite(self.optimizer, batch)

    def _update(self, rate: float, batch: int, iteration: int) -> dict[str, float]:
        """Return what came of an update: `kernels.cuda.optimizer.STATE` by name."""
        with self.device.scope():
            for wait in self.room.waits:
                wait()
            self.own.begin(rate, batch, iteration)
            self._step()
            report = self.own.report()
        self.room.scale = report["scale"]
        self._newer = True
        return report

    def _first_odd(self, batch: int) -> NotFinite:
        """Return what to raise for the first gradient that is not finite."""
        with self.device.scope():
            grads = self.device.download(self.own.grads)
        for (index, name), place in self.own.layout.places.items():
            part = grads[place.part] if place.start < len(grads) else np.zeros(1)
            if not np.isfinite(part).all():
                return odd_gradient(self.network.nodes[index], name, batch)
        raise AssertionError("all gradients are finite")

    def start_average(self) -> None:
        """Let the moving average be the weights as they are."""
        super().start_average()
        if self._lent:
            return  # the device takes it with the weights
        with self.device.scope():
            self.own.start_average()
        self._averaging, self._newer = None, True

    def follow(self, applies: bool) -> None:
        """Let the moving average follow the weights, or the weights be the average."""
        self._give()
        with self.device.scope():
            if applies:
                self.own.apply_average()
            else:
                if self._averaging is None:
                    bound = self.device.bind(self.own.average_launches())
                    self._averaging = self.device.capture(bound)
                self._averaging()
        self._newer = True

    def statistics(self, nodes: Sequence[Node]) -> Measure:
        """Return what measures rolling averages on the device."""
        self._give()
        return BatchStatistics(self.network, self.params, self.room, nodes, STATISTICS)

    def plans(self, params: Sequence[Arrays]) -> Plans:
        """Return what makes plans that read the device's parameters."""
        self._give()
        return partial(compile_forward, self.network, params, self.room)
