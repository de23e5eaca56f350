"""Plans of a device on networks of every kind of op on maps, against the eager run."""

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

CLOSE = {"fp32": 2e-6, "fp16": 3e-3}  # of the largest: sums in other orders; 11 bits of maps
SLOPES = {"fp32": 1e-5, "fp16": 5e-3}  # of gradients, sums of products of such maps
CONV = "[convolutional]\nfilters={}\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n"
PLAIN = "[convolutional]\nfilters={}\nsize=1\nactivation=logistic\n"
SHARED = "[convolutional]\nshare_index=-1\nfilters=3\nsize={}\npad=1\n{}\n"
POOL = "[maxpool]\nsize={}\nstride=1\n"
NETWORKS = {
    "pyramid": (
        f"{CONV.format(12)}{POOL.format(5)}[route]\nlayers=-2\n{POOL.format(3)}"
        f"[route]\nlayers=-1,-3,-4\n{CONV.format(6)}[route]\nlayers=-1\ngroups=2\ngroup_id=1\n"
        f"{PLAIN.format(4)}"
    ),
    "attention": (
        f"{CONV.format(6) * 3}[shortcut]\nfrom=-2,-3\nweights_type=per_channel\n"
        "weights_normalization=softmax\nactivation=mish\n"
        f"[avgpool]\n{PLAIN.format(6)}[scale_channels]\nfrom=-3\n{CONV.format(6)}"
        f"[sam]\nfrom=-2\n[activation]\nactivation=norm_chan\n{PLAIN.format(4)}"
    ),
    "pools": (
        f"{CONV.format(8)}[maxpool]\nmaxpool_depth=1\nout_channels=3\n"
        "[local_avgpool]\nsize=2\nstride=2\n"
        "[upsample]\nstride=2\nscale=.5\n[shortcut]\nfrom=0\nactivation=leaky\n"
        f"[reorg3d]\nstride=2\n[normalization]\nsize=5\nalpha=.3\nbeta=.75\n{PLAIN.format(4)}"
    ),
    "cut": (f"{CONV.format(6)}[crop]\ncrop_height=5\ncrop_width=7\nnoadjust=1\n{PLAIN.format(4)}"),
    "blurred": (
        f"{CONV.format(8)}antialiasing=1\nstride=2\n[maxpool]\nsize=2\nstride=2\nantialiasing=1\n"
        f"{CONV.format(5)}[softmax]\nspatial=1\nnoloss=1\n{PLAIN.format(4)}"
    ),
    "thin": f"{CONV.format(1)}antialiasing=2\n{PLAIN.format(4)}",
    "shared": (
        f"{CONV.format(3)}{SHARED.format(3, 'batch_normalize=1') * 2}"
        f"{PLAIN.format(3)}{SHARED.format(1, 'activation=mish')}"
    ),
    "parameters": (
        f"[batchnorm]\n{CONV.format(6) * 2}[shortcut]\nfrom=-2\nweights_type=per_feature\n"
        "activation=linear\n[implicit]\nfilters=6\n[scale_channels]\nfrom=-2\n[avgpool]\n[softmax]\n"
    ),
}


def read(tmp_path, name, text):
    """Return a network, parameters and two pictures."""
    path = tmp_path / f"{name}.cfg"
    path.write_text("[net]\nwidth=10\nheight=8\nchannels=3\n" + text)
    return networks.read(path, batch=2)


@pytest.mark.parametrize("precision", CLOSE)
@pytest.mark.parametrize("name", NETWORKS)
def test_inference_gives_what_the_eager_run_gives(tmp_path, name, precision):
    network, params, x = read(tmp_path, name, NETWORKS[name])
    want = Tape(network, params, kernels.ops("cpu")).forward(x)
    plan = compile(network, params, host_device(Settings()), batch=2, precision=precision)
    for index, y in want.items():
        np.testing.assert_allclose(plan(x)[index], y, rtol=0, atol=CLOSE[precision] * abs(y).max())
    kinds = [op.kind for op in plan.program.ops]
    assert ("spp" in kinds) == (name == "pyramid")


def stepping(network, params, precision="fp32", **keys):
    """Return a step on a device, and where its parameters are."""
    on = host_device(Settings())
    home = DeviceOptimizer(on, Optimizer(network, params, kernels.ops("cpu")))
    room = CudaTraining(on, precision, home, network, params)
    return CudaStepPlan(network, params, room=room, **keys), home


@pytest.mark.parametrize(
    ("name", "precision"), [*((name, "fp32") for name in NETWORKS), ("blurred", "fp16")]
)
def test_a_step_gives_the_gradients_of_the_eager_run(tmp_path, name, precision):
    network, params, x = read(tmp_path, name, NETWORKS[name])
    rng = np.random.default_rng(1)
    shapes = {node.index: (2, *node.shape) for node in network.heads}
    deltas = {i: rng.standard_normal(shape).astype(np.float32) for i, shape in shapes.items()}
    plan, home = stepping(network, params, precision)
    plan.forward(x)
    plan.backward(deltas)
    tape = Tape(network, params, kernels.ops("cpu"), True)
    tape.forward(x)
    tape.backward(deltas, -1, image=False)
    close = SLOPES[precision]
    for node, frame in zip(network.nodes, tape.frames, strict=True):
        for key, grad in frame.grads.items():
            found = home.device.download(home.view(home.grads, node, key))
            np.testing.assert_allclose(found, grad, rtol=0, atol=close * abs(grad).max())
        for key in {"rolling_mean", "rolling_variance"} & set(params[node.index]):
            found, moved = home.device.download(home.parameter(node, key)), params[node.index][key]
            np.testing.assert_allclose(found, moved, rtol=0, atol=close * abs(moved).max())


@pytest.mark.parametrize("frozen", [0, 4])
def test_layers_without_a_way_back(tmp_path, frozen):
    text = f"{CONV.format(6)}{PLAIN.format(6)}[shortcut]\nfrom=-2\nactivation=mish\n"
    network, params, x = read(tmp_path, "frozen", text + CONV.format(8) + CONV.format(5))
    plan, home = stepping(network, params, frozen=frozen, until=3)
    tape = Tape(network, params, kernels.ops("cpu"), True, frozen=frozen)
    want = tape.forward(x)
    found = plan.forward(x)
    tape.backward(want, 3, image=False)
    plan.backward(want, 3)
    np.testing.assert_allclose(found[4], want[4], rtol=0, atol=1e-5 * abs(want[4]).max())
    for key, grad in tape.frames[4].grads.items():
        own = home.device.download(home.view(home.grads, network.nodes[4], key))
        np.testing.assert_allclose(own, grad, rtol=0, atol=SLOPES["fp32"] * abs(grad).max())
    kinds = {op.kind for op in plan.plan(2).program.ops}
    assert not kinds & {"activate", "batch_statistics"}  # within other ops


CROP = "[crop]\ncrop_height={}\ncrop_width={}\nflip=1\n"


def test_every_step_cuts_where_the_eager_run_does(tmp_path):
    text = CROP.format(7, 6) + PLAIN.format(12) + CROP.format(4, 3) + PLAIN.format(5)
    network, params, x = read(tmp_path, "cut", text)
    plan, home = stepping(network, params)
    tape = Tape(network, params, kernels.ops("cpu"), True)
    outputs = []
    for seed in (1, 2, 1):
        plan.frames[0].rng = np.random.default_rng(seed)
        rng = np.random.default_rng(seed)
        for frame in tape.frames:
            frame.rng = rng
            frame.grads.clear()
        home.clear()
        found, want = plan.forward(x), tape.forward(x)
        ((index, y),) = want.items()
        np.testing.assert_allclose(found[index], y, rtol=0, atol=CLOSE["fp32"] * abs(y).max())
        plan.backward(want)
        tape.backward(want, -1, image=False)
        for node, frame in zip(network.nodes, tape.frames, strict=True):
            for key, grad in frame.grads.items():
                own = home.device.download(home.view(home.grads, node, key))
                close = SLOPES["fp32"] * abs(grad).max()
                np.testing.assert_allclose(own, grad, rtol=0, atol=close)
        outputs.append(found[index])
    assert np.array_equal(outputs[0], outputs[2])
    assert not np.array_equal(outputs[0], outputs[1])


@pytest.mark.parametrize("keys", ["", "dropblock=1\ndropblock_size_abs=2\n"])
def test_what_drops_out_follows_from_the_generator(tmp_path, keys):
    text = PLAIN.format(12) + "[dropout]\nprobability=.5\n" + keys
    network, params, x = read(tmp_path, "dropout", text)
    (y,) = Tape(network, params, kernels.ops("cpu")).forward(x).values()
    plan, home = stepping(network, params)
    found = []
    for seed in (1, 1, 2):
        plan.frames[0].rng = np.random.default_rng(seed)
        (out,) = plan.forward(x).values()
        kept = out != 0
        assert 0.3 < kept.mean() < 0.7
        share = np.full(len(x), 0.5) if not keys else kept.mean((1, 2, 3))
        np.testing.assert_allclose(out, y * kept / share[:, None, None, None], rtol=1e-4)
        found.append(kept)
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    plan.backward({network.heads[0].index: np.ones_like(y)})
    slope = (y * (1 - y) * found[2] / share[:, None, None, None]).sum((0, 2, 3))
    biases = home.device.download(home.view(home.grads, network.nodes[0], "biases"))
    np.testing.assert_allclose(biases, slope, rtol=1e-4)
