"""A step of training as plans: in the place of `darkpy.run.Tape`, with the same face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..kernels.cpu.engine import team
from ..layers.base import Array
from ..network import Network
from ..run import Context
from .memory import Room
from .passes import Pass
from .plan import Plan, Progress
from .trace import trace_step
from .training import PASSES, pack_weights

KEPT = 24  # plans, of as many sizes and numbers of pictures; each takes about a megabyte


class Training(Room):
    """What the plans of a training have in common, whatever the size of their pictures.

    own    gradients of the last mini-batch, by layer and name of the parameter
    sums   those of all mini-batches of an iteration, where there were several
    bound  the parameters whose addresses the plans have
    progress  called with (how many are done, of how many) while code is built
    """

    def __init__(self) -> None:
        super().__init__()
        self.own: dict[tuple[int, str], NDArray[np.float32]] = {}
        self.sums: dict[tuple[int, str], NDArray[np.float32]] = {}
        self.bound: list[Array] = []
        self.progress: Progress | None = None


class StepPlan:
    """Forward and back for mini-batches, by a plan for each number of pictures.

    network, params, frozen  as `Tape` has them
    until                    the layer at which the way back ends, as `Tape.backward` has it
    losing                   the heads that have a loss, by index; None is all of them
    room                     of other sizes of this network, if there are any: one runs at a time
    threads                  that share the work; None takes what the machine has

    ``frames`` holds gradients and the generator, one a node, as a Tape's do. Arrays of ``params``
    may change in place, and are read anew in every run. Gradients are overwritten by the first way
    back after ``frames`` was cleared of them, and those that it gave before with them.
    """

    def __init__(
        self,
        network: Network,
        params: Sequence[dict[str, Array]],
        frozen: int = 0,
        until: int = -1,
        *,
        losing: Sequence[int] | None = None,
        room: Training | None = None,
        threads: int | None = None,
        passes: Sequence[Pass] = PASSES,
    ) -> None:
        self.network = network
        self.params = params
        self.frozen = frozen
        self.until = until
        self.losing = losing
        self.room = room or Training()
        self.threads = threads or team.most()
        self.passes = passes
        self.frames: list[Context] = []
        for node in network.nodes:
            grads = self.frames[node.owner].grads if node.owner != node.index else {}
            learns = node.index >= frozen
            self.frames.append(Context(None, params[node.index], learns, None, grads))
        self._plan: Plan | None = None

    def forward(self, images: Array) -> dict[int, Array]:
        """Return the outputs of the heads for images (n, c, h, w), until the next call."""
        self._plan = self.plan(len(images))
        self._plan.rng = self.frames[0].rng
        outputs = self._plan.advance({"image": images})
        return {node.index: outputs[node.index] for node in self.network.heads}

    def backward(self, deltas: Mapping[int, Array], until: int = -1, image: bool = False) -> None:
        """Take the gradients of the heads' outputs back; add those of parameters to ``frames``.

        until, image  as `Tape.backward` has them: what this was made for, and nothing else
        """
        assert self._plan is not None, "no way back without one forward"
        assert until == self.until and not image, (until, self.until, image)
        mine = [name for name in self._plan.program.outputs if isinstance(name, tuple)]
        for key in mine:
            grads, own = self.frames[key[0]].grads, self.room.own[key]
            if grads.get(key[1]) is own:  # of the mini-batch before, and about to be overwritten
                if key not in self.room.sums:
                    self.room.sums[key] = np.empty_like(own)
                np.copyto(self.room.sums[key], own)
                grads[key[1]] = self.room.sums[key]
        self._plan.advance(deltas, back=True)
        for key in mine:
            grads, own = self.frames[key[0]].grads, self.room.own[key]
            if key[1] in grads:
                with np.errstate(all="ignore"):  # numbers that overflow are inf, as in C
                    grads[key[1]] += own
            else:
                grads[key[1]] = own

    def plan(self, batch: int) -> Plan:
        """Return the plan for so many pictures."""
        now = [own[name] for own in self.params for name in sorted(own)]
        if len(now) != len(self.room.bound) or any(map(_differ, now, self.room.bound)):
            self.room.plans.clear()  # they have the addresses of arrays that others replaced
            self.room.bound = now
        key = (batch, *self.network.image, self.until)
        plans = self.room.plans
        if key not in plans:
            self._plan = None
            for old in list(islice(plans, max(0, len(plans) + 1 - KEPT))):
                del plans[old]
            plans[key] = self._made(batch)
        return plans[key]  # type: ignore[no-any-return]

    def _made(self, batch: int) -> Plan:
        program = trace_step(self.network, self.params, batch, self.frozen, self.until, self.losing)
        for one in self.passes:
            one(program)
        pack_weights(program, self.threads)
        arrays = {}
        for name, value in program.outputs.items():
            if isinstance(name, tuple):
                own = self.room.own.setdefault(name, np.zeros(value.shape, np.float32))
                arrays[value] = own
        progress = self.room.progress
        return Plan(program, self.threads, progress=progress, arrays=arrays, room=self.room)


def _differ(one: Array, other: Array) -> bool:
    return one is not other
