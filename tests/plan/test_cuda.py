"""Plans of CUDA kernels, run on the CPU: passes, inference, and the gradients of a step."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from darkpy import kernels
from darkpy.errors import DeviceError, NetworkError
from darkpy.network import Network
from darkpy.plan.cuda import compile
from darkpy.plan.cuda.passes import inference_passes
from darkpy.plan.cuda.step import CudaStepPlan, CudaTraining
from darkpy.plan.trace import trace
from darkpy.run import Tape
from darkpy.train.device_optimizer import DeviceOptimizer
from darkpy.train.optimizer import Optimizer
from tests.conftest import ROOT
from tests.hostcuda import Settings, missing
from tests.hostcuda.device import host_device as device_of

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
# Parts of the largest value. fp32: sums in another order. tf32, fp16, bf16: a network of many
# layers adds up what operands of 11, 11 and 8 bits round.
TOLERANCE = {"fp32": 1e-5, "tf32": 1e-3, "fp16": 1e-2, "bf16": 3e-2}
SLOW = {"fp32": pytest.mark.slow, "bf16": pytest.mark.slow}
OPS = kernels.ops("cpu")
host_device = partial(device_of, processors=8)  # sums are split over fewer blocks: less to add up


# Depthwise and grouped layers, a pool, both kinds of sums, a concatenation, layers with and without
# batch norm.
FEW = """[net]
width=24
height=16
channels=3
[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=16
groups=16
size=3
pad=1
activation=swish
[convolutional]
filters=16
groups=4
size=3
pad=1
activation=mish
[shortcut]
from=-3
activation=leaky
[maxpool]
size=3
stride=1
[route]
layers=-1,-3
[avgpool]
[convolutional]
filters=32
size=1
activation=logistic
[scale_channels]
from=-3
[convolutional]
batch_normalize=1
filters=24
size=3
stride=2
pad=1
activation=mish
[upsample]
stride=2
[route]
layers=-1,-3
[convolutional]
filters=21
size=1
activation=linear
[yolo]
mask=0,1,2
anchors=4,4,8,8,12,10
classes=2
num=3
"""


def drawn(name: str | Path, size: int | None) -> tuple[Network, list[dict[str, np.ndarray]]]:
    """Return a network of cfg/ for pictures of a size, and parameters such as training gives."""
    path = name if isinstance(name, Path) else ROOT / "cfg" / f"{name}.cfg"
    network = Network.from_cfg(path)
    network = network.resized(size, size) if size else network
    rng = np.random.default_rng(0)
    params = network.initial_params(rng)
    for own in params:
        for key, (low, high) in {
            "rolling_variance": (0.5, 2),
            "rolling_mean": (-0.1, 0.1),
            "scales": (0.5, 1.5),
            "biases": (-0.1, 0.1),
        }.items():
            if key in own:
                own[key][...] = rng.uniform(low, high, own[key].shape)
    return network, params


def pictures(network: Network, count: int = 1) -> np.ndarray:
    return np.random.default_rng(1).random((count, *network.image), np.float32)


def near(found: np.ndarray, truth: np.ndarray, tolerance: float) -> None:
    assert found.shape == truth.shape
    error = np.abs(found - truth).max() / np.abs(truth).max()
    assert error < tolerance, error


@pytest.mark.parametrize(
    "precision", [pytest.param(one, marks=SLOW.get(one, ())) for one in TOLERANCE]
)
def test_yolov4_tiny_forward(precision):
    network, params = drawn("yolov4-tiny", 96)
    x = pictures(network)
    truths = Tape(network, params, OPS).forward(x)
    outputs = compile(network, params, host_device(), precision=precision)(x)
    assert outputs.keys() == truths.keys()
    for index, truth in truths.items():
        near(outputs[index], truth, TOLERANCE[precision])


@pytest.mark.parametrize("name", ["yolo-fastest-1.1", "yolov3-tiny", "yolov7-tiny", "yolov2-tiny"])
def test_other_networks_forward(name):
    network, params = drawn(name, 64)
    x = pictures(network, 2)
    truths = Tape(network, params, OPS).forward(x)
    outputs = compile(network, params, host_device(), batch=2, precision="fp32")(x)
    for index, truth in truths.items():
        near(outputs[index], truth, TOLERANCE["fp32"])


def test_a_plan_relies_on_nothing_that_memory_held(monkeypatch):
    network, params = drawn("yolo-fastest-1.1", 64)
    device = host_device(Settings(check=True))
    x = pictures(network)
    plan = compile(network, params, device, precision="fp16")
    before = plan(x)
    plan._arena[...] = 255  # not a number, in all types
    for index, y in plan(x).items():
        assert np.array_equal(y, before[index])


@pytest.mark.parametrize("count", range(1, 1 + len(inference_passes("float"))))
def test_few_launches_are_left(count):
    network, params = drawn("yolov4-tiny", 64)
    program = trace(network, params)
    before = len(program.ops)
    for one in inference_passes("half")[:count]:
        one(program)
    assert len(program.ops) <= before
    if count == len(inference_passes("half")):
        assert before > 70 and len(program.ops) < 30


def gradients(name: str | Path, size: int | None, batch: int, precision: str, settings=None):
    """Yield each gradient that a device gives, and the eager one; and rolling averages."""
    network, params = drawn(name, size)
    copies = [{key: array.copy() for key, array in own.items()} for own in params]
    x = pictures(network, batch)
    tape = Tape(network, params, OPS, True)
    outputs = tape.forward(x)
    rng = np.random.default_rng(3)
    deltas = {i: rng.normal(size=y.shape).astype(np.float32) for i, y in outputs.items()}
    tape.backward(deltas, image=False)
    device = host_device(settings)
    home = DeviceOptimizer(device, Optimizer(network, copies, OPS))
    step = CudaStepPlan(
        network, copies, room=CudaTraining(device, precision, home, network, copies)
    )
    for index, y in step.forward(x).items():
        yield index, "output", y, outputs[index]
    step.backward(deltas)
    home.download()
    for node, frame in zip(network.nodes, tape.frames, strict=True):
        for key, grad in frame.grads.items():
            yield node.index, key, home.gradient(node, key), grad
        for key in ("rolling_mean", "rolling_variance"):
            if key in copies[node.index]:
                yield node.index, key, copies[node.index][key], params[node.index][key]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "middle", "most"), [("fp32", 1e-2, 5e-2), ("tf32", 0.1, 0.5)]
)
def test_yolov4_tiny_gradients(precision, middle, most):
    # Of the norm. Twenty layers normalise over few pixels, and a number near 0 that is rounded to
    # the other side has another slope: that alone changes a gradient of 27 pixels by a hundredth.
    errors = []
    for index, key, found, truth in gradients("yolov4-tiny", 96, 3, precision):
        errors.append((np.linalg.norm(found - truth) / np.linalg.norm(truth), index, key))
    assert len(errors) > 100
    assert max(errors)[0] < most, max(errors)
    assert np.median([error for error, *_ in errors]) < middle


@pytest.mark.slow
def test_gradients_of_a_few_layers(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text(FEW)
    for index, key, found, truth in gradients(path, None, 2, "fp32", Settings(check=True)):
        error = np.linalg.norm(found - truth) / np.linalg.norm(truth)
        assert error < 1e-4, (index, key, error)


def test_an_input_of_another_shape_is_refused():
    network, params = drawn("yolov3-tiny", 32)
    plan = compile(network, params, host_device(), precision="fp32")
    with pytest.raises(NetworkError, match=r"expected an input of shape \(1, 3, 32, 32\)"):
        plan(pictures(network, 2))


def test_an_op_without_a_kernel_is_named(monkeypatch):
    from darkpy.plan.cuda import lower

    monkeypatch.delattr(lower.cuda, "maxpool")
    network, params = drawn("yolov3-tiny", 32)
    with pytest.raises(DeviceError, match=r"yolov3-tiny.cfg:\d+: layer 1 \[maxpool\]: no CUDA ke"):
        compile(network, params, host_device(), precision="fp32")
