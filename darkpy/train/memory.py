"""How much memory a training takes, and what to do when that is more than there is."""

from __future__ import annotations

import math

from ..inference import PLAN_FROM
from ..network import Network, Node
from ..plan import flops
from .optimizer import frozen_layers

PROCESS = 256 << 20  # bytes of Python with numpy, Numba and OpenCV
BATCHES_AHEAD = 3  # that the loader holds, besides the one in use
SIDE = 32  # the sides of a network's input are its multiples


def training_memory(network: Network, minibatch: int) -> int:
    """Return the bytes that parameters, gradients and the maps of a mini-batch take, about.

    The maps are those that layers keep for the way back; what the way back makes of them is let go
    as fast. Measured against a `Trainer` on the CPU this is right within a third.
    """
    copies = 2 + (2 if network.options.adam else 1) + (network.options.ema_alpha > 0)
    learning = network.nodes[frozen_layers(network) :]
    planned = flops(network) >= PLAN_FROM
    kept = network.image.size + sum(node.shape.size * _kept(node, planned) for node in learning)
    return 4 * (copies * network.parameters + minibatch * kept)


def _kept(node: Node, planned: bool) -> int:
    """Return how many maps of the size of its output a layer makes and keeps in training.

    planned  it runs in a plan, which makes what goes into an activation anew
    """
    if node.layer.section != "convolutional":
        return 1
    activates = getattr(node.layer, "activation", "linear") != "linear"
    normalizes = bool(getattr(node.layer, "normalizes", False))
    return 1 + (activates or normalizes) if planned else 1 + activates + normalizes


def needed_memory(network: Network, batch: int, subdivisions: int) -> int:
    """Return the bytes that a training process takes, about.

    batch, subdivisions   pictures of an iteration, and into how many mini-batches they are cut
    """
    pictures = 4 * batch * network.image.size * (1 + BATCHES_AHEAD)
    return PROCESS + pictures + training_memory(network, -(-batch // subdivisions))


def out_of_memory_advice(
    network: Network, batch: int, subdivisions: int, available_bytes: int
) -> str:
    """Return what a training that does not fit into memory needs, and how it would fit.

    batch, subdivisions   pictures of an iteration, and into how many mini-batches they are cut
    """
    _, height, width = network.image
    needed = needed_memory(network, batch, subdivisions)
    now = (
        f"{network.path or '[net]'}: not enough memory to train: a mini-batch of "
        f"{-(-batch // subdivisions)} pictures (batch={batch}, subdivisions={subdivisions}) of "
        f"{width} x {height} takes about {_gib(needed)}; this machine has {_gib(available_bytes)}"
    )
    finer = (one for one in range(subdivisions + 1, batch + 1) if batch % one == 0)
    for one in finer:
        needed = needed_memory(network, batch, one)
        if needed <= available_bytes:
            return f"{now}; subdivisions={one} takes about {_gib(needed)}"
    return f"{now}; {_smaller(network, batch, available_bytes)}"


def _smaller(network: Network, batch: int, available_bytes: int) -> str:
    """Return the advice to use a smaller input, with sides that one picture a time fits with."""
    _, height, width = network.image
    fixed = PROCESS + training_memory(network, 0)
    pictures = 4 * batch * network.image.size * (1 + BATCHES_AHEAD)
    one = pictures + training_memory(network, 1) - training_memory(network, 0)
    scale = math.sqrt(min(1.0, max(0, available_bytes - fixed) / one))
    sides = [int(side * scale) // SIDE * SIDE for side in (width, height)]
    if min(sides) < SIDE:
        return "its parameters leave no room for pictures: use a smaller network or batch"
    if sides == [width, height]:
        return "close other programs, or use a smaller width and height"
    return f"use subdivisions={batch}, and an input of {sides[0]} x {sides[1]}"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
