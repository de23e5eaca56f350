"""A step of training, recorded: after every prefix of passes what the eager way back gives."""

import numpy as np
import pytest

from darkpy import kernels
from darkpy.network import Network
from darkpy.plan.step import StepPlan
from darkpy.plan.training import PASSES
from darkpy.run import Tape
from tests.conftest import ROOT

CLOSE = 1e-4  # of the largest gradient: sums in other orders, through batch norm of few cells


def step(made, params, images, deltas, *, eager):
    made.frames[0].rng = np.random.default_rng(3)
    for frame in made.frames:
        frame.rng = made.frames[0].rng
    outputs = {index: y.copy() for index, y in made.forward(images).items()}
    if eager:
        made.backward(deltas, -1, image=False)
    else:
        made.backward(deltas)
    return outputs


@pytest.mark.parametrize("count", range(len(PASSES) + 1))
@pytest.mark.parametrize("name", ("shapes", "yolo-fastest-1.1"))
def test_every_prefix_of_passes_gives_the_gradients_of_the_eager_run(name, count):
    network = Network.from_cfg(ROOT / "cfg" / f"{name}.cfg").resized(64, 64)
    rng = np.random.default_rng(1)
    images = rng.random((2, *network.image), np.float32)
    shapes = {node.index: (2, *node.shape) for node in network.heads}
    deltas = {i: rng.standard_normal(shape).astype(np.float32) for i, shape in shapes.items()}
    own, other = (network.initial_params(np.random.default_rng(0)) for _ in range(2))
    tape = Tape(network, own, kernels.ops("cpu"), True)
    want = step(tape, own, images, deltas, eager=True)
    plan = StepPlan(network, other, passes=PASSES[:count])
    got = step(plan, other, images, deltas, eager=False)
    for index, y in want.items():
        np.testing.assert_allclose(got[index], y, rtol=0, atol=CLOSE * np.abs(y).max())
    grads = [frame.grads for frame in tape.frames]
    most = max(np.abs(grad).max() for each in grads for grad in each.values())
    for each, frame in zip(grads, plan.frames, strict=True):
        assert each.keys() == frame.grads.keys()
        for key, grad in each.items():
            np.testing.assert_allclose(frame.grads[key], grad, rtol=0, atol=CLOSE * most)
    for mine, theirs in zip(own, other, strict=True):  # rolling averages moved alike
        for key, value in mine.items():
            np.testing.assert_allclose(theirs[key], value, rtol=0, atol=1e-5)
