"""What is measured: a network without its heads, with parameters whose activations stay in range.

An engine is given a folder with the network in forms that need nothing of darkpy to be read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darkpy.kernels import ops
from darkpy.kernels.common.geometry import BATCHNORM_EPSILON
from darkpy.layers.base import Layer
from darkpy.layers.empty import Empty
from darkpy.network import Network, Node
from darkpy.run import Tape
from darkpy.weights import write_weights

SEED = 0


@dataclass(frozen=True, kw_only=True)
class Raw(Empty):
    """A head that passes on what feeds it."""

    is_head = True


def raw(network: Network) -> Network:
    """Return the network with what feeds its heads for outputs; every layer keeps its index."""
    layers: list[Layer] = [Raw() if one.layer.is_head else one.layer for one in network.nodes]
    return Network.from_layers(layers, network.image, network.options, network.path)


def sources(network: Network) -> list[int]:
    """Return the index of the layer that feeds each head, or that of the last if there is none."""
    if any(node.layer.is_head for node in network.nodes):
        return [node.inputs[0] for node in network.heads]
    return [network.nodes[-1].index]


def drawn(network: Network, seed: int = SEED) -> list[dict[str, np.ndarray]]:
    """Draw parameters that neither fade out nor overflow on the way through a deep network.

    Weights are normal, of variance 1.6 / fan-in: near what keeps the size of leaky activations.
    Those of a layer that is added to another are a half of that, so that sums do not grow.
    """
    rng = np.random.default_rng(seed)
    added = {
        one for node in network.nodes if node.layer.section == "shortcut" for one in node.inputs
    }
    params: list[dict[str, np.ndarray]] = []
    for node in network.nodes:
        if node.owner != node.index:
            params.append(params[node.owner])
            continue
        half = 0.5 if node.index in added else 1.0
        params.append({name: _draw(rng, name, s, half) for name, s in node.params.items()})
    return params


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...], share: float) -> np.ndarray:
    if name == "weights":
        deviation = np.sqrt(1.6 / np.prod(shape[1:])) * share
        return rng.standard_normal(shape, np.float32) * np.float32(deviation)
    if name in ("biases", "rolling_mean"):
        return rng.normal(0, 0.1, shape).astype(np.float32)
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)  # scales, rolling_variance


def folded(
    network: Network, params: Sequence[dict[str, np.ndarray]]
) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return, per convolution, weights (f, c / groups, k, k) and biases (f,) that normalise too.

    Computed in float64, given as float32.
    """
    result = {}
    for node in network.nodes:
        if node.layer.section != "convolutional":
            continue
        own = {name: value.astype(np.float64) for name, value in params[node.index].items()}
        w, b = own["weights"], own["biases"]
        if node.layer.normalizes:
            scale = own["scales"] / np.sqrt(own["rolling_variance"] + BATCHNORM_EPSILON)
            w = w * scale[:, None, None, None]
            b = b - own["rolling_mean"] * scale
        result[node.index] = (w.astype(np.float32), b.astype(np.float32))
    return result


def truth(
    network: Network, params: Sequence[dict[str, np.ndarray]], x: np.ndarray
) -> list[np.ndarray]:
    """Return what feeds each head for x (n, c, h, w), by the reference in float32."""
    found = Tape(raw(network), params, ops("reference")).forward(x)
    return [found[node.index] for node in network.heads]


def macs(network: Network) -> int:
    """Return the multiply-adds of all convolutions for one picture, by their definition."""
    shapes = {-1: network.image} | {node.index: node.shape for node in network.nodes}
    return sum(
        node.shape.size * shapes[node.inputs[0]].c // node.layer.split * node.layer.size**2
        for node in network.nodes
        if node.layer.section == "convolutional"
    )


def refuse(node: Node, unusual: object) -> None:
    """Raise ValueError if a layer has keys that no peer is given."""
    if unusual:
        raise ValueError(f"{node.where}: no comparison is made of its keys")


def margins(node: Node, x: tuple[int, int, int]) -> tuple[int, tuple[int, int]]:
    """Return a pool's padding before each side and (bottom, right), no more than it reaches."""
    layer = node.layer
    before = layer.border // 2
    after = (
        max(0, (out - 1) * stride + layer.window - before - side)
        for out, stride, side in zip(node.shape[1:], layer.strides, x[1:], strict=True)
    )
    bottom, right = after
    return before, (bottom, right)


def write(
    folder: Path, network: Network, params: Sequence[dict[str, np.ndarray]], batch: int
) -> None:
    """Write net.cfg of this size, net.weights, folded.npz and the input x.npy into a folder.

    folded.npz  "<index>.weights" and "<index>.biases" of each convolution
    x.npy       (batch, c, h, w) float32 from 0 to 1
    """
    text = Path(network.path).read_text("utf-8")
    for name, value in (("height", network.image.h), ("width", network.image.w)):
        text = re.sub(rf"(?m)^\s*{name}\s*=.*$", f"{name}={value}", text, count=1)
    for name in ("batch", "subdivisions"):
        text = re.sub(rf"(?m)^\s*{name}\s*=.*$", f"{name}=1", text, count=1)
    (folder / "net.cfg").write_text(text, "utf-8")
    write_weights(network, params, folder / "net.weights")
    arrays = {}
    for index, (w, b) in folded(network, params).items():
        arrays |= {f"{index}.weights": w, f"{index}.biases": b}
    np.savez(folder / "folded.npz", **arrays)
    x = np.random.default_rng(SEED + 1).random((batch, *network.image), dtype=np.float32)
    np.save(folder / "x.npy", x)
