"""Plans that go forward alone, and read the parameters of a training where they lie."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ...kernels.cuda.packing import PRECISIONS
from ...layers.base import Array
from ...network import Network, Node
from ..trace import trace_forward
from .passes import forward_passes
from .plan import CudaPlan, Floats, Masters
from .step import CudaTraining

APART = 64  # numbers: 256 bytes


def compile_forward(
    network: Network,
    params: Sequence[dict[str, Array]],
    room: CudaTraining,
    batch: int,
    *,
    masters: Masters | None = None,
    learning: Collection[int] = (),
) -> CudaPlan:
    """Return a plan of a network for so many pictures.

    params   arrays of a training, whose copies on the device are read, whatever the host's hold;
             copies are made of others
    room     of the training, in whose memory the plan lies: no step runs meanwhile
    masters  what knows the copies; by default the room's
    learning layers, by index, that run as in training
    """
    program = trace_forward(network, params, batch, learning)
    for one in forward_passes(PRECISIONS[room.precision]):
        one(program)
    with room.device.scope():
        known = masters or room.masters.beside()
        how = room.precision, room.progress, known
        return CudaPlan(program, room.device, *how, place=room)


class BatchStatistics:
    """Measures how far a batch moves rolling averages; those of the training stay as they are.

    nodes  whose averages; they run as in training, all others as in inference
    """

    def __init__(
        self,
        network: Network,
        params: Sequence[dict[str, Array]],
        room: CudaTraining,
        nodes: Sequence[Node],
        names: Sequence[str],
    ) -> None:
        self.network = network
        self.room = room
        self._params = [dict(own) for own in params]
        self._masters = room.masters.beside()
        self._learning = [node.index for node in nodes]
        places = [(node.index, name) for node in nodes for name in names]
        ends = np.cumsum([-(-self._params[i][name].size // APART) * APART for i, name in places])
        with room.device.scope():
            self._flat = room.device.zeros(int(ends[-1]) if len(ends) else 1, np.float32)
        self._parts = {}
        for (index, name), start in zip(places, [0, *ends.tolist()], strict=False):
            own = np.zeros_like(self._params[index][name])
            self._params[index][name] = own
            self._parts[index, name] = part = slice(start, start + own.size)
            self._masters.adopt(own, self._flat[part], start)
        self._plans: dict[int, CudaPlan] = {}

    def __call__(self, images: Floats) -> list[dict[str, Array]]:
        """Return, for each of the nodes, where averages come to that are 0 before these images."""
        plan = self._plan(len(images))
        with self.room.device.scope():
            self._flat.fill(0)
            self.room.device.write(plan.input("image"), np.ascontiguousarray(images, np.float32))
            plan.replay()
            flat = self.room.device.download(self._flat)
        found: dict[int, dict[str, Array]] = {index: {} for index in self._learning}
        for (index, name), part in self._parts.items():
            found[index][name] = flat[part]
        return list(found.values())

    def _plan(self, batch: int) -> CudaPlan:
        if batch not in self._plans:
            self._plans.clear()
            self._plans[batch] = compile_forward(
                self.network,
                self._params,
                self.room,
                batch,
                masters=self._masters,
                learning=self._learning,
            )
        return self._plans[batch]
