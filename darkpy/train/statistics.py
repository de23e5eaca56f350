"""Statistics of batch normalisation, measured anew for weights that are to be judged.

The rolling averages of a training lag a hundred mini-batches behind the weights, and with
``random`` see pictures of other sizes. Weights are judged, and called best or final, with the
statistics of training pictures, augmented as ever, at the size of the .cfg ("precise BN", Wu and
Johnson 2021, https://arxiv.org/abs/2105.07576). The training itself neither uses nor gets these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..kernels.common.geometry import ROLLING_MOMENTUM
from ..layers.base import Array
from ..run import Tape
from .optimizer import STATISTICS
from .trainer import Trainer


def with_statistics(
    trainer: Trainer, batches: Iterable[NDArray[np.float32]]
) -> list[dict[str, Array]]:
    """Return the parameters of a trainer, with the statistics of pictures as rolling averages.

    batches  of pictures (n, c, h, w) float32; of several the mean of their statistics is taken

    The other arrays are the trainer's own. Layers that are frozen, or share their parameters, keep
    their averages; so do all if there is no picture.
    """
    network = trainer.network
    params = [dict(own) for own in trainer.params]
    tape = Tape(network, params, trainer.ops, True, frozen=trainer.optimizer.frozen)
    users = Counter(node.owner for node in network.nodes)
    for node, frame in zip(network.nodes, tape.frames, strict=True):
        frame.train &= STATISTICS[0] in node.params and users[node.index] == 1
    moving = [own for own, frame in zip(params, tape.frames, strict=True) if frame.train]
    sums = [{name: np.zeros_like(own[name]) for name in STATISTICS} for own in moving]
    count = 0
    for images in batches:
        count += 1
        for own in moving:
            own |= {name: np.zeros_like(own[name]) for name in STATISTICS}
        tape.forward(images)  # which moves them a part of the way to the batch's
        for own, total in zip(moving, sums, strict=True):
            for name, value in total.items():
                value += own[name]
    share = np.float32(ROLLING_MOMENTUM * count)
    for own, total in zip(moving if count else (), sums, strict=False):
        own |= {name: value / share for name, value in total.items()}
    return params
