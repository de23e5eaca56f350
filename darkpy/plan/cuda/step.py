"""A step of training on a device, by a plan for each number of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

import numpy as np

from ...kernels import launchers, ops
from ...kernels.cuda.device import Device
from ...kernels.cuda.dropout import first_state
from ...kernels.cuda.packing import PRECISIONS
from ...layers.base import Array
from ...loss.base import HeadLoss, Moment, Truths
from ...loss.device import DeviceLosses
from ...network import Network, Node
from ...run import Context
from ..memory import Room
from ..plan import Progress
from ..step import KEPT
from ..trace import Op, trace_step
from .lower import DRAWN
from .passes import training_passes
from .plan import CudaPlan, Masters


class Home(Protocol):
    """Where a network's parameters are on a device (`darkpy.train.device_optimizer`).

    params, grads  all parameters, and all gradients, in one flat array each
    state  its first number is what losses are multiplied by
    """

    params: Any
    grads: Any
    state: Any

    def start(self, node: Node, name: str) -> int:
        """Return where a parameter begins in ``params``."""

    def parameter(self, node: Node, name: str) -> Any:
        """Return where a parameter lies, in its shape."""

    def view(self, flat: Any, node: Node, name: str) -> Any:
        """Return where a parameter's gradient lies in an array like ``grads``, in its shape."""


@dataclass(frozen=True)
class Stage:
    """Gradients that the way back comes to together, side by side in the flat arrays.

    names  (index of the layer, name) of each parameter
    """

    names: tuple[tuple[int, str], ...]
    start: int
    end: int


@dataclass
class Made:
    """A plan, the losses between its two ways, and all of it as a call for each stage.

    drawn  what the host draws before each step, in the order of layers
    """

    plan: CudaPlan
    drawn: Sequence[Op] = ()
    losses: DeviceLosses | None = None
    steps: Sequence[Callable[[], None]] = ()


class CudaTraining(Room):
    """What the plans of a training on a device have in common, whatever the size of the pictures.

    They lie in the same memory.

    precision  of products; see `darkpy.plan.cuda.compile`
    home       of the parameters
    scale      of the gradients that losses give: float16 holds no smaller ones than 6e-8
    plans      by number of pictures, size and where the way back ends
    progress   called with (how many are done, of how many) while kernels are compiled
    stages     of the way back, which cover all gradients; by default there is one
    sum        begins to add up a stage's gradients over several devices, and returns what waits for
               it, kept in ``waits``; None does not
    """

    def __init__(
        self,
        device: Device,
        precision: str,
        home: Home,
        network: Network,
        params: Sequence[dict[str, Array]],
        stages: Sequence[Stage] = (),
    ) -> None:
        super().__init__(lambda size: device.empty(size, np.uint8))
        self.device = device
        self.precision = precision
        self.home = home
        self.masters = Masters(device, home.params)
        for node in network.nodes:
            if node.owner == node.index:
                for name, array in params[node.index].items():
                    start = home.start(node, name)
                    self.masters.adopt(array, home.parameter(node, name), start)
        self.stages = stages or [Stage((), 0, home.grads.size)]
        self.sum: Callable[[Any], Callable[[], None]] | None = None
        self.waits: list[Callable[[], None]] = []
        self.fresh = device.zeros(home.grads.size, np.float32)
        with device.scope():
            self.adding = [device.bind(self._add(one)) for one in self.stages]
        self.randomness = first_state(device, 0)
        self.scale = 1.0
        self.progress: Progress | None = None

    def _add(self, stage: Stage) -> Any:
        part = slice(stage.start, stage.end)
        return launchers().accumulate(self.device, self.home.grads[part], self.fresh[part])

    def arrived(self, stage: Stage) -> None:
        """Begin to add up gradients that are at home over all devices, if that is wanted."""
        if self.sum is not None:
            self.waits.append(self.sum(self.home.grads[stage.start : stage.end]))


class CudaStepPlan:
    """Forward and back for mini-batches, by a plan for each number of pictures.

    network, params, frozen  as `darkpy.run.Tape` has them
    until                    the layer at which the way back ends, as `Tape.backward` has it
    losing                   the heads that have a loss, by index; None is all of them
    room                     of the training

    The way back adds the gradients of parameters, times the room's ``scale``, to those at home.
    Of ``frames`` there is one, which has the generator of random numbers and no gradients.
    """

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
        self.network = network
        self.params = params
        self.frozen = frozen
        self.until = until
        self.losing = losing
        self.room = room
        self.frames = [Context(None, {})]
        self._key: Any = None  # of the plan that went forward

    @property
    def _losing(self) -> Sequence[int]:
        heads = [node.index for node in self.network.heads]
        return heads if self.losing is None else self.losing

    def learn(self, images: Array, truths: Truths, moment: Moment) -> dict[int, HeadLoss]:
        """Take a mini-batch forward, to its losses, and back: all that `forward` and `backward` do.

        Returns the losses by index of their heads, whose gradients stay on the device.
        """
        made = self._begin(len(images))
        device = self.room.device
        with device.scope():
            if made.losses is None:
                made.losses = self._device_losses(made.plan)
                between = device.bind(made.losses.launches)
                made.steps = [device.capture(calls) for calls in self._calls(made.plan, between)]
            made.losses.prepare(truths, moment)
            device.write(made.plan.input("image"), np.ascontiguousarray(images, np.float32))
            for step, stage in zip(made.steps, self.room.stages, strict=True):
                step()
                self.room.arrived(stage)
            return made.losses.read()

    def _calls(
        self, plan: CudaPlan, between: Sequence[Callable[[], None]]
    ) -> Iterator[list[Callable[[], None]]]:
        """Yield the calls of a mini-batch, with what adds its gradients to those at home, cut where
        each stage of the way back ends."""
        room, start = self.room, 0
        before = [*plan.forward, *between]
        for stage, adding in zip(room.stages, room.adding, strict=True):
            is_last = stage is room.stages[-1]
            end = len(plan.backward) if is_last else max(start, plan.reached(stage.names))
            yield [*before, *plan.backward[start:end], *adding]
            before, start = [], end

    def _device_losses(self, plan: CudaPlan) -> DeviceLosses:
        return DeviceLosses(
            self.room.device,
            [self.network.nodes[index] for index in self._losing],
            self.network.image,
            {index: plan.outputs[index] for index in self._losing},
            {index: plan.input(index) for index in self._losing},
            self.room.home.state[:1],
            self.network.options,
        )

    def forward(self, images: Array) -> dict[int, Array]:
        """Return the outputs of the heads for images (n, c, h, w)."""
        outputs = self._begin(len(images)).plan.advance({"image": images})
        return {node.index: outputs[node.index] for node in self.network.heads}

    def _begin(self, batch: int) -> Made:
        made = self._ready(batch)
        self._draw(made)
        return made

    def _draw(self, made: Made) -> None:
        """Draw what the host draws, as it does for the processor, and the seed of all else."""
        device, rng = self.room.device, self.frames[0].rng
        with device.scope():
            for op in made.drawn:
                numbers = getattr(ops("cpu"), op.kind)(rng, **op.numbers)
                device.write(made.plan.at(op.output), numbers)
            seed = rng.integers(2**64, size=2, dtype=np.uint64)
            device.write(self.room.randomness, seed.view(np.uint32))

    def backward(self, deltas: Mapping[int, Array], until: int = -1, image: bool = False) -> None:
        """Take the gradients of the heads' outputs back, and add those of parameters.

        until, image  as `Tape.backward` has them: what this was made for, and nothing else
        """
        assert self._key in self.room.plans, "no way back without one forward"
        assert until == self.until and not image, (until, self.until, image)
        scale = np.float32(self.room.scale)
        plan = self.room.plans[self._key].plan
        plan.advance({name: delta * scale for name, delta in deltas.items()}, back=True)
        with self.room.device.scope():
            for call in chain(*self.room.adding):
                call()

    def plan(self, batch: int) -> CudaPlan:
        """Return the plan for so many pictures."""
        return self._ready(batch).plan

    def _ready(self, batch: int) -> Made:
        self._key = key = (batch, *self.network.image, self.until)
        plans: dict[Any, Made] = self.room.plans
        if key not in plans:
            while len(plans) >= KEPT:
                del plans[next(iter(plans))]
            plan = self._new_plan(batch)
            plans[key] = Made(plan, [op for op in plan.program.ops if op.kind in DRAWN])
        return plans[key]

    def _new_plan(self, batch: int) -> CudaPlan:
        program = trace_step(self.network, self.params, batch, self.frozen, self.until, self.losing)
        for one in training_passes(PRECISIONS[self.room.precision]):
            one(program)
        room, nodes = self.room, self.network.nodes
        arrays = {
            value: room.home.view(room.fresh, nodes[name[0]], name[1])
            for name, value in program.outputs.items()
            if isinstance(name, tuple)
        }
        with room.device.scope():
            arrays |= {
                op.output: room.device.zeros(op.output.size, np.float32).reshape(op.output.shape)
                for op in program.ops
                if op.kind in DRAWN
            }
            return CudaPlan(
                program,
                room.device,
                room.precision,
                room.progress,
                room.masters,
                arrays,
                room.randomness,
                room,
            )
