"""Plans of a device on networks of every kind of product, against the eager run."""

import numpy as np
import pytest

from darkpy import kernels
from darkpy.plan.cuda.plan import compile
from darkpy.plan.cuda.step import CudaStepPlan, CudaTraining
from darkpy.run import Tape
from darkpy.train.device_optimizer import DeviceOptimizer
from darkpy.train.optimizer import Optimizer
from tests.hostcuda import Settings, missing
from tests.hostcuda.device import host_device
from tests.plan import networks

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

CLOSE = {"fp32": 2e-6, "fp16": 2e-3}  # of the largest: sums in other orders; 11 bits of maps
NETWORKS = {
    "matrices": """
[connected]
output=20
activation=leaky
[connected]
batch_normalize=1
output=10
activation=logistic
""",
    "places": """
[local]
filters=5
size=3
stride=2
pad=1
activation=leaky
[connected]
output=7
activation=linear
""",
    "groups": """
[convolutional]
filters=12
size=3
stride=2
pad=1
antialiasing=1
groups=3
activation=mish
[convolutional]
filters=12
size=3
pad=1
groups=12
batch_normalize=1
activation=leaky
[shortcut]
from=-2
activation=linear
""",
    "signs": """
[convolutional]
filters=12
size=3
pad=1
xnor=1
batch_normalize=1
activation=leaky
[convolutional]
filters=12
size=3
pad=1
binary=1
batch_normalize=1
activation=leaky
""",
}


def read(tmp_path, name):
    """Return a network, parameters and three pictures."""
    path = tmp_path / f"{name}.cfg"
    path.write_text("[net]\nwidth=9\nheight=9\nchannels=3\n" + NETWORKS[name])
    return networks.read(path, batch=3)


@pytest.mark.parametrize("precision", CLOSE)
@pytest.mark.parametrize("name", NETWORKS)
def test_inference_gives_what_the_eager_run_gives(tmp_path, name, precision):
    network, params, x = read(tmp_path, name)
    want = Tape(network, params, kernels.ops("cpu")).forward(x)
    plan = compile(network, params, host_device(Settings()), batch=3, precision=precision)
    for index, y in want.items():
        np.testing.assert_allclose(plan(x)[index], y, rtol=0, atol=CLOSE[precision] * abs(y).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_gives_the_gradients_of_the_eager_run(tmp_path, name):
    network, params, x = read(tmp_path, name)
    rng, on = np.random.default_rng(1), host_device(Settings())
    shapes = {node.index: (3, *node.shape) for node in network.heads}
    deltas = {i: rng.standard_normal(shape).astype(np.float32) for i, shape in shapes.items()}
    home = DeviceOptimizer(on, Optimizer(network, params, kernels.ops("cpu")))
    plan = CudaStepPlan(network, params, room=CudaTraining(on, "fp32", home, network, params))
    plan.forward(x)
    plan.backward(deltas)
    tape = Tape(network, params, kernels.ops("cpu"), True)
    tape.forward(x)
    tape.backward(deltas, -1, image=False)
    for node, frame in zip(network.nodes, tape.frames, strict=True):
        for key, grad in frame.grads.items():
            found = on.download(home.view(home.grads, node, key))
            np.testing.assert_allclose(found, grad, rtol=0, atol=1e-5 * abs(grad).max())
