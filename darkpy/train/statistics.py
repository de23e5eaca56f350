"""Statistics of batch normalisation, measured anew for weights that are to be judged.

The rolling averages of a training lag a hundred mini-batches behind the weights, and with
``random`` see pictures of other sizes. Weights are judged, and called best or final, with the
statistics of training pictures, augmented as ever, at the size of the .cfg ("precise BN", Wu and
Johnson 2021, https://arxiv.org/abs/2105.07576). The training itself neither uses nor gets these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.common.geometry import ROLLING_MOMENTUM
from ..layers.base import Array
from .learner import Learner
from .optimizer import STATISTICS


def with_statistics(
    learner: Learner[Any], batches: Iterable[NDArray[np.float32]]
) -> list[dict[str, Array]]:
    """Return the parameters of a training, with the statistics of pictures as rolling averages.

    batches  of pictures (n, c, h, w) float32; of several the mean of their statistics is taken

    The other arrays are the learner's own. Layers that are frozen, or share their parameters, keep
    their averages; so do all if there is no picture.
    """
    network, params = learner.network, [dict(own) for own in learner.params]
    users = Counter(node.owner for node in network.nodes)
    nodes = [
        node
        for node in network.nodes[learner.optimizer.frozen :]
        if STATISTICS[0] in node.params and users[node.index] == 1
    ]
    sums = [{name: np.zeros_like(params[n.index][name]) for name in STATISTICS} for n in nodes]
    measure, count = learner.statistics(nodes), 0
    for images in batches:
        count += 1
        for total, own in zip(sums, measure(images), strict=True):
            for name, value in total.items():
                value += own[name]
    share = np.float32(ROLLING_MOMENTUM * count)
    for node, total in zip(nodes if count else (), sums, strict=False):
        params[node.index] |= {name: value / share for name, value in total.items()}
    return params
