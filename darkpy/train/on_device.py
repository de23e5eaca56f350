"""A training whose parameters, gradients and update are in the memory of a device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels.cuda.device import Device
from ..kernels.cuda.optimizer import PATIENCE, SCALE
from ..layers.base import Array
from ..network import Network
from ..plan.cuda.step import CudaStepPlan, CudaTraining, Stage
from .device_optimizer import DeviceOptimizer
from .layout import buckets
from .optimizer import Arrays, Optimizer
from .ranks import NcclSums, Ranks

BUCKET = 1 << 20  # numbers, that several devices add up while the way back goes on
LEAST_SCALE = 2.0**-14  # of the loss: below it the gradients of float16 cannot be finite


class OnDevice:
    """The device's half of a `Trainer`.

    optimizer  the host's, whose parameters and moments are copied to the device and back: `fetch`
               before the host's copies are looked at, after which the device takes them anew
    precision  "fp32", "tf32", "fp16" (whose loss is scaled, as much as is found to do) or "bf16"

    Attributes: ``own``, a `DeviceOptimizer`; ``room`` for plans.
    """

    def __init__(
        self,
        device: Device,
        precision: str,
        optimizer: Optimizer,
        params: Sequence[dict[str, Array]],
        ranks: Ranks,
    ) -> None:
        self.device = device
        self.host = optimizer
        self.scaled = precision == "fp16"
        self._newer = False  # than the host's copies
        self._lent = True  # the host's copies may have been changed
        with device.scope():
            how = {"patience": PATIENCE, "scale": SCALE} if self.scaled else {}
            self.own = DeviceOptimizer(device, optimizer, **how)
            network: Network = optimizer.network
            stages = self._stages(ranks)
            self.room = CudaTraining(device, precision, self.own, network, params, stages)
            self.room.scale = SCALE if self.scaled else 1.0
            self._step = device.capture(device.bind(self.own.launches()))
            self._sums = NcclSums(ranks, device.xp) if ranks.size > 1 else None
        self._averaging: Any = None

    def _stages(self, ranks: Ranks) -> list[Stage]:
        """Return what several ranks add up at once; those gradients come last that move nothing."""
        own = self.own.layout
        if ranks.size == 1:
            return []
        runs = [(one.start, one.end) for one in buckets(self.own.network, BUCKET)]
        runs += [(own.learned, own.graded)] if own.learned < own.graded else []
        places = own.places.items()
        return [
            Stage(tuple(key for key, one in places if start <= one.start < end), start, end)
            for start, end in runs
        ]

    def tape(
        self, network: Network, stop: int, losing: Sequence[int], params: Sequence[dict[str, Array]]
    ) -> CudaStepPlan:
        """Return what runs mini-batches of a network, which has the parameters of this."""
        return CudaStepPlan(network, params, self.host.frozen, stop, losing=losing, room=self.room)

    def fetch(self, average: Sequence[Arrays] | None) -> None:
        """Let the host's copies be what the device has, and take them anew before the next step."""
        if self._newer:
            with self.device.scope():
                self.own.download(average)
        self._newer, self._lent = False, True

    def give(self, average: Sequence[Arrays] | None) -> None:
        """Take the host's copies, if they may have been changed."""
        if self._lent:
            with self.device.scope():
                self.own.upload(average)
            self._averaging = None
        self._lent = False

    def begin(self, average: Sequence[Arrays] | None) -> None:
        """Be ready for the gradients of an iteration."""
        self.give(average)
        self.room.sum = None
        self.room.waits.clear()
        with self.device.scope():
            self.own.clear()

    def add_up(self) -> None:
        """Let the next way back, the last of this iteration, add up the gradients of all ranks."""
        if self._sums is not None:
            self.room.sum = self._sums.sum

    def ran(self) -> None:
        """Say that rolling averages have moved."""
        self._newer = True

    def update(self, rate: float, batch: int, iteration: int) -> dict[str, float]:
        """Add up the gradients of all ranks, move the parameters, and say what came of it.

        Returns `kernels.cuda.optimizer.STATE` by name.
        """
        with self.device.scope():
            if self._sums is not None and not self.room.waits:  # the host had the losses
                self._sums.sum(self.own.grads[: self.own.layout.learned])()
            for wait in self.room.waits:
                wait()
            self.own.begin(rate, batch, iteration)
            self._step()
            report = self.own.report()
        self.room.scale = report["scale"]
        self._newer = True
        return report

    def finite(self, report: dict[str, float]) -> bool:
        """Return whether gradients were finite, or are about to be with a loss scaled by less."""
        mends = self.host.network.options.try_fix_nan
        hopes = self.scaled and report["scale"] > LEAST_SCALE
        return bool(report["finite"] or mends or hopes)

    def odd_gradient(self) -> tuple[int, str]:
        """Return layer and name of the first gradient that is not finite."""
        grads = self.device.download(self.own.grads)
        for (index, name), place in self.own.layout.places.items():
            part = grads[place.part] if place.start < len(grads) else np.zeros(1)
            if not np.isfinite(part).all():
                return index, name
        raise AssertionError("all gradients are finite")

    def start_average(self) -> None:
        """Let the moving average be the weights as they are."""
        with self.device.scope():
            self.own.start_average()
        self._averaging, self._newer = None, True

    def follow(self, applies: bool) -> None:
        """Let the moving average follow the weights, or the weights be the average."""
        with self.device.scope():
            if applies:
                self.own.apply_average()
            else:
                if self._averaging is None:
                    bound = self.device.bind(self.own.average_launches())
                    self._averaging = self.device.capture(bound)
                self._averaging()
        self._newer = True
