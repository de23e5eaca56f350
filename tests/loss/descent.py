"""A tiny network that follows the gradient of its loss."""

import numpy as np

from darkpy import Network
from darkpy.kernels import ops
from darkpy.loss import LOSSES, Moment
from darkpy.run import Tape

CFG = """[net]
width=16
height=12
channels=3
[convolutional]
filters=16
size=4
stride=4
activation=leaky
[convolutional]
filters={filters}
size=1
activation=linear
"""


def descend(folder, filters, heads, truths, rng, steps=200, rate=0.02):
    """Return the cost, before and after some steps, of heads (text of a .cfg) on drawn pictures."""
    (folder / "tiny.cfg").write_text(CFG.format(filters=filters) + heads)
    network = Network.from_cfg(folder / "tiny.cfg")
    params = network.initial_params(rng)
    x = rng.random((len(truths), *network.image), np.float32)
    kernels = ops("reference")
    costs = []
    for step in range(steps):
        tape = Tape(network, params, kernels, train=True)
        outputs = tape.forward(x)
        moment = Moment(network.image, seen=100_000, iteration=step)
        losses = {
            index: LOSSES[network.nodes[index].layer.section](
                kernels, network.nodes[index].layer, y, truths, moment
            )
            for index, y in outputs.items()
        }
        costs.append(sum(loss.cost for loss in losses.values()))
        tape.backward({index: loss.gradient for index, loss in losses.items()})
        for own, frame in zip(params, tape.frames, strict=True):
            for name, gradient in frame.grads.items():
                own[name] -= np.float32(rate) * gradient.reshape(own[name].shape)
    return costs[0], costs[-1]
