"""A step of training on a device: `darkpy.plan.step.StepPlan`, with its face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.cuda.device import Device
from ...kernels.cuda.packing import PRECISIONS
from ...layers.base import Array
from ...network import Network
from ..step import StepPlan, Training
from ..trace import trace_step
from .passes import training_passes
from .plan import CudaPlan, Masters

ROLLING = ("rolling_mean", "rolling_variance")  # moved by the way forward


class CudaTraining(Training):
    """What the plans of a training on a device have in common.

    masters  copies of the parameters on the device
    """

    def __init__(self, device: Device, precision: str) -> None:
        super().__init__()
        self.device = device
        self.precision = precision
        self.masters = Masters(device)


class CudaStepPlan(StepPlan):
    """Forward and back for mini-batches on a device; parameters are those of the host."""

    room: CudaTraining

    def __init__(
        self,
        network: Network,
        params: Sequence[dict[str, Array]],
        frozen: int = 0,
        until: int = -1,
        *,
        losing: Sequence[int] | None = None,
        room: CudaTraining,
    ) -> None:
        super().__init__(network, params, frozen, until, losing=losing, room=room)

    def forward(self, images: Array) -> dict[int, Array]:
        """Return the outputs of the heads for images (n, c, h, w)."""
        self.plan(len(images))
        self.room.masters.write()
        outputs = super().forward(images)
        self.room.masters.read(own[name] for own in self.params for name in ROLLING if name in own)
        return outputs

    def _made(self, batch: int) -> Any:
        program = trace_step(self.network, self.params, batch, self.frozen, self.until, self.losing)
        for one in training_passes(PRECISIONS[self.room.precision]):
            one(program)
        plan = CudaPlan(
            program,
            self.room.device,
            self.room.precision,
            self.room.progress,
            masters=self.room.masters,
        )
        plan.gives = {
            name: self.room.own.setdefault(name, np.zeros(value.shape, np.float32))
            for name, value in program.outputs.items()
            if isinstance(name, tuple)
        }
        return plan
