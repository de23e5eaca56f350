"""Run a network eagerly, layer by layer, forward and back: the truth for every faster way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import NetworkError, OutOfMemory
from .layers.base import Array
from .network import Network


class Context:
    """What a layer may touch while it runs: kernels, its parameters, and what it kept.

    grads        gradient of each parameter, added up; nodes that share parameters share it
    input_grads  the gradients of the inputs are asked for on the way back
    """

    def __init__(
        self,
        ops: Any,
        params: dict[str, Array],
        train: bool = False,
        rng: np.random.Generator | None = None,
        grads: dict[str, Array] | None = None,
    ) -> None:
        self.ops = ops
        self.params = params
        self.train = train
        self.rng = rng or np.random.default_rng(0)
        self.grads: dict[str, Array] = {} if grads is None else grads
        self.saved: tuple[Any, ...] = ()
        self.input_grads = True

    def save(self, *values: Any) -> None:
        """Keep values for the way back; nothing is kept in inference."""
        self.saved = values if self.train else ()

    def add_grad(self, name: str, value: Array) -> None:
        """Add to the gradient of the parameter ``name``."""
        known = self.grads.get(name)
        self.grads[name] = value if known is None else self.ops.add(known, value)


class Tape:
    """One network with its parameters, run forward and then back.

    params  one dict of arrays a node, as `read_weights` or `Network.initial_params` give
    ops     the kernels of a device, as ``darkpy.kernels.ops`` gives
    train   use the batch's statistics, drop out, and keep what the way back needs
    frozen  so many layers, from the first, run as in inference all the same
    """

    def __init__(
        self,
        network: Network,
        params: Sequence[dict[str, Array]],
        ops: Any,
        train: bool = False,
        rng: np.random.Generator | None = None,
        frozen: int = 0,
    ) -> None:
        self.network = network
        self.frames: list[Context] = []
        for node in network.nodes:
            grads = self.frames[node.owner].grads if node.owner != node.index else {}
            learns = train and node.index >= frozen
            self.frames.append(Context(ops, params[node.index], learns, rng, grads))
        self.ops = ops
        last = {one: node.index for node in network.nodes for one in node.inputs}
        keep = {node.index for node in network.heads}
        self._done: list[list[int]] = [[] for _ in network.nodes]
        for one, when in last.items():
            if one not in keep:
                self._done[when].append(one)

    def forward(self, x: Array) -> dict[int, Array]:
        """Return the outputs of the heads for x (n, c, h, w); what is used up is let go."""
        outputs = {-1: x}
        for node in self.network.nodes:
            outputs[node.index] = self._step(node.index, outputs)
            for one in self._done[node.index]:
                del outputs[one]
        return {node.index: outputs[node.index] for node in self.network.heads}

    def activations(self, x: Array) -> list[Array]:
        """Return the output of every layer for x (n, c, h, w)."""
        outputs = {-1: x}
        for node in self.network.nodes:
            outputs[node.index] = self._step(node.index, outputs)
        del outputs[-1]
        return list(outputs.values())

    def _step(self, index: int, outputs: Mapping[int, Array]) -> Array:
        node = self.network.nodes[index]
        inputs = (outputs[one] for one in node.inputs)
        try:
            with np.errstate(all="ignore"):  # numbers that overflow are inf, as in C
                return node.layer.forward(self.frames[index], *inputs)
        except NetworkError as error:
            raise NetworkError(f"{node.where}: {error}") from None
        except MemoryError:
            raise OutOfMemory(f"{node.where}: not enough memory to compute {node.shape}") from None

    def backward(self, deltas: Mapping[int, Array], until: int = -1, image: bool = True) -> Array:
        """Take the gradients of the heads' outputs back; return that of the picture.

        until  the layer at which the way back ends, before its own backward; -1: the picture
        image  whether the gradient of the picture is wanted; None is returned where it is not

        Gradients of parameters are added to ``frames[i].grads``; what layers saved is let go.
        """
        pending = dict(deltas)
        last = until if until >= 0 or not image else -2  # the last one whose gradient is unwanted
        for node in reversed(self.network.nodes[until + 1 :]):
            frame = self.frames[node.index]
            if node.index not in pending or node.layer.onlyforward:
                frame.saved = ()
                continue
            frame.input_grads = max(node.inputs) > last
            dy = pending.pop(node.index)
            with np.errstate(all="ignore"):
                gradients = node.layer.backward(frame, dy)
            frame.saved = ()
            for one, dx in zip(node.inputs, gradients, strict=True):
                if one > last and dx is not None:
                    pending[one] = self.ops.add(pending[one], dx) if one in pending else dx
        return pending.get(-1)
