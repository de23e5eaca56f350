"""A step of training as plans: in the place of `darkpy.run.Tape`, with the same face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..kernels.cpu.engine import team
from ..layers.base import Array
from ..network import Network
from ..run import Context
from .passes import Pass
from .plan import Plan
from .trace import trace_step
from .training import PASSES


class StepPlan:
    """Forward and back for mini-batches, by a plan for each number of pictures.

    network, params, frozen  as `Tape` has them
    threads                  that share the work; None takes what the machine has

    ``frames`` holds gradients and the generator, one a node, as a Tape's do.
    """

    def __init__(
        self,
        network: Network,
        params: Sequence[dict[str, Array]],
        frozen: int = 0,
        threads: int | None = None,
        passes: Sequence[Pass] = PASSES,
    ) -> None:
        self.network = network
        self.params = params
        self.frozen = frozen
        self.threads = threads or team.most()
        self.passes = passes
        self.frames: list[Context] = []
        for node in network.nodes:
            grads = self.frames[node.owner].grads if node.owner != node.index else {}
            learns = node.index >= frozen
            self.frames.append(Context(None, params[node.index], learns, None, grads))
        self._plan: Plan | None = None
        self._made: tuple[int, int] = (0, 0)

    def forward(self, images: Array, until: int = -1) -> dict[int, Array]:
        """Return the outputs of the heads for images (n, c, h, w); the next call overwrites them.

        until  the layer at which the way back will end
        """
        plan = self._plan_for(len(images), until)
        plan.rng = self.frames[0].rng
        outputs = plan.advance({"image": images})
        return {node.index: outputs[node.index] for node in self.network.heads}

    def backward(self, deltas: Mapping[int, Array]) -> None:
        """Take the gradients of the heads' outputs back; add those of parameters to ``frames``."""
        assert self._plan is not None
        outputs = self._plan.advance(deltas, back=True)
        for name, grad in outputs.items():
            if isinstance(name, tuple):
                index, parameter = name
                grads = self.frames[index].grads
                if parameter in grads:
                    grads[parameter] += grad
                else:
                    grads[parameter] = grad.copy()

    def _plan_for(self, batch: int, until: int) -> Plan:
        if self._plan is None or self._made != (batch, until):
            self._plan = None  # its memory first
            program = trace_step(self.network, self.params, batch, self.frozen, until)
            for one in self.passes:
                one(program)
            self._plan, self._made = Plan(program, self.threads), (batch, until)
        return self._plan
