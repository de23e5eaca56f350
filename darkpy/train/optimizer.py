"""The update of the parameters: darknet's update_network_gpu, which layers it skips included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers.base import Array
from ..net import NetOptions
from ..network import Network, Node

Arrays = dict[str, NDArray[np.float32]]
STATISTICS = ("rolling_mean", "rolling_variance")  # they follow the batches, not the gradients


def learned(node: Node, options: NetOptions) -> list[str]:
    """Return the names of the parameters that a node owns and that a gradient moves.

    Biases beside scales, those of batch normalisation, move only with ``train_bn_bias=1``. So has
    it darknet on the processor; its GPU path moves them, by sums over all cells of all maps, with
    which a training of few iterations of burn-in loses its way (docs/compatibility.md).
    """
    if node.owner != node.index:
        return []
    still = () if options.train_bn_bias or "scales" not in node.params else ("biases",)
    return [name for name in node.params if name not in (*STATISTICS, *still)]


def averaged(node: Node, options: NetOptions) -> list[str]:
    """Return the names of what the moving average follows: all that a convolution is made of."""
    return learned(node, options) if node.layer.section == "convolutional" else []


def frozen_layers(network: Network) -> int:
    """Return how many layers, from the first, ``stopbackward=1`` freezes: all before the last."""
    return max((n.index for n in network.nodes if n.layer.stopbackward == 1), default=0)


def stop_layer(network: Network, iteration: int) -> int:
    """Return the layer at which the way back ends in this iteration; -1 if it goes to the end.

    That is the last with ``stopbackward=1``, or with a number above the iteration.
    """
    stops = (n.index for n in network.nodes if _stops(n.layer.stopbackward, iteration))
    return max(stops, default=-1)


def _stops(stopbackward: int, iteration: int) -> bool:
    return stopbackward == 1 or stopbackward > iteration


class Optimizer:
    """Momentum or Adam, over the parameters of a network.

    params   one dict of arrays a node, which `update` changes in place
    moments  what is remembered of earlier gradients: for each node, and each array that learns,
             one array of its shape, or two with ``adam=1``
    """

    def __init__(self, network: Network, params: Sequence[Arrays], ops: Any) -> None:
        self.network = network
        self.params = params
        self.ops = ops
        self.frozen = frozen_layers(network)
        only_bn = [n.index for n in network.nodes if n.layer.train_only_bn]
        self.only_statistics = max(only_bn, default=-1)
        count = 2 if network.options.adam else 1
        self.moments: list[dict[str, list[Array]]] = [
            {
                name: [np.zeros(node.params[name], np.float32) for _ in range(count)]
                for name in learned(node, network.options)
            }
            for node in network.nodes
        ]

    def updates(self, node: Node, iteration: int) -> bool:
        """Tell whether the parameters of a node move in this iteration."""
        return self.moves(node) and iteration >= self.first(node)

    def moves(self, node: Node) -> bool:
        """Tell whether the parameters of a node ever move."""
        index = node.index
        is_still = index < self.frozen or index <= self.only_statistics
        return not is_still and bool(self.moments[index])

    def first(self, node: Node) -> int:
        """Return the first iteration in which the parameters of a node move, if they do."""
        layer = node.layer
        burn_in = self.network.options.burn_in
        return max(layer.burnin_update * burn_in, layer.dont_update + 1)

    def update(
        self, grads: Sequence[dict[str, Array]], rate: float, batch: int, iteration: int
    ) -> None:
        """Move the parameters against gradients that were summed over ``batch`` pictures.

        grads      one dict a node; an array without a gradient only decays
        rate       the network's; each layer has its own factor, ``learning_rate``
        iteration  of this update, 1 for the first
        """
        for node in self.network.nodes:
            if not self.updates(node, iteration):
                continue
            step = rate * node.layer.learning_rate
            for name, w, grad in self._pairs(node, grads[node.index]):
                moments = self.moments[node.index][name]
                self._step(w, grad, moments, name == "weights", step, batch, iteration)
            if node.layer.clip and "weights" in node.params:
                w = self.params[node.index]["weights"]
                np.clip(w, -node.layer.clip, node.layer.clip, out=w)

    def _pairs(self, node: Node, grads: dict[str, Array]) -> Iterator[tuple[str, Array, Array]]:
        for name in learned(node, self.network.options):
            w = self.params[node.index][name]
            grad = grads.get(name)
            grad = np.zeros_like(w) if grad is None else grad.reshape(w.shape)
            if getattr(node.layer, "grad_centr", False) and name == "weights":
                grad = grad - grad.mean((1, 2, 3), keepdims=True)
            yield name, w, grad

    def _step(
        self,
        w: Array,
        grad: Array,
        moments: list[Array],
        decays: bool,
        rate: float,
        batch: int,
        iteration: int,
    ) -> None:
        o = self.network.options
        if o.adam:
            self.ops.adam_step(
                w,
                grad,
                *moments,
                rate=rate,
                B1=o.B1,
                B2=o.B2,
                eps=o.eps,
                decay=o.decay,
                batch=batch,
                t=iteration,
            )
        else:
            self.ops.sgd_step(
                w,
                grad,
                *moments,
                rate=rate,
                momentum=o.momentum,
                decay=o.decay if decays else 0.0,
                batch=batch,
            )
