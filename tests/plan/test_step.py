"""A step of training, recorded: after every prefix of passes what the eager way back gives."""

import numpy as np
import pytest

from darkpy import kernels
from darkpy.kernels.cpu.engine import store
from darkpy.network import Network
from darkpy.plan.step import StepPlan, Training
from darkpy.plan.training import PASSES
from darkpy.run import Tape
from tests.conftest import ROOT

CLOSE = 1e-4  # of the largest gradient: sums in other orders, through batch norm of few cells
DEEP = 1e-2  # of 84 layers: one number that falls to the other side of a kink of relu moves .4 %


def step(made, images, deltas):
    made.frames[0].rng = np.random.default_rng(3)
    for frame in made.frames:
        frame.rng = made.frames[0].rng
    outputs = {index: y.copy() for index, y in made.forward(images).items()}
    made.backward(deltas, -1, image=False)
    return outputs


@pytest.mark.parametrize("count", range(len(PASSES) + 1))
@pytest.mark.parametrize(
    ("name", "side", "close"), (("shapes", 64, CLOSE), ("yolo-fastest-1.1", 128, DEEP))
)
def test_every_prefix_of_passes_gives_the_gradients_of_the_eager_run(name, side, close, count):
    network = Network.from_cfg(ROOT / "cfg" / f"{name}.cfg").resized(side, side)
    rng = np.random.default_rng(1)
    images = rng.random((2, *network.image), np.float32)
    shapes = {node.index: (2, *node.shape) for node in network.heads}
    deltas = {i: rng.standard_normal(shape).astype(np.float32) for i, shape in shapes.items()}
    own, other = (network.initial_params(np.random.default_rng(0)) for _ in range(2))
    tape = Tape(network, own, kernels.ops("cpu"), True)
    want = step(tape, images, deltas)
    plan = StepPlan(network, other, passes=PASSES[:count])
    got = step(plan, images, deltas)
    for index, y in want.items():
        np.testing.assert_allclose(got[index], y, rtol=0, atol=close * np.abs(y).max())
    grads = [frame.grads for frame in tape.frames]
    most = max(np.abs(grad).max() for each in grads for grad in each.values())
    for each, frame in zip(grads, plan.frames, strict=True):
        assert each.keys() == frame.grads.keys()
        for key, grad in each.items():
            np.testing.assert_allclose(frame.grads[key], grad, rtol=0, atol=close * most)
    for mine, theirs in zip(own, other, strict=True):  # rolling averages moved alike
        for key, value in mine.items():
            np.testing.assert_allclose(theirs[key], value, rtol=0, atol=1e-5)


SMALL = """
[net]
height=32
width=32
channels=3
[convolutional]
filters=16
size=3
pad=1
batch_normalize=1
activation=leaky
[maxpool]
size=2
stride=2
[convolutional]
filters=24
size=3
stride=2
pad=1
antialiasing=2
batch_normalize=1
activation=mish
[convolutional]
filters=24
groups=24
size=3
pad=1
batch_normalize=1
activation=relu
[shortcut]
from=-2
activation=leaky
[convolutional]
filters=20
size=1
activation=logistic
[upsample]
stride=2
[route]
layers=-1,1
[convolutional]
filters=36
size=3
pad=1
activation=linear
[convolutional]
share_index=-1
filters=36
size=3
pad=1
activation=linear
[route]
layers=-1
groups=2
group_id=1
[convolutional]
filters=18
size=3
pad=1
activation=linear
[yolo]
classes=1
num=3
anchors=1,1,2,2,3,3
"""


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.cfg"
    path.write_text(SMALL)
    return Network.from_cfg(path)


def given(network, count, seed=1):
    rng = np.random.default_rng(seed)
    images = rng.random((count, *network.image), np.float32)
    shapes = {node.index: (count, *node.shape) for node in network.heads}
    return images, {i: rng.standard_normal(shape).astype(np.float32) for i, shape in shapes.items()}


def in_double(network, params):
    exact = []
    for node, own in zip(network.nodes, params, strict=True):
        copied = {name: value.astype(float) for name, value in own.items()}
        exact.append(copied if node.owner == node.index else exact[node.owner])
    return exact


def both(network, seed=0):
    """Return a tape in double precision and a plan, of equal parameters."""
    own = network.initial_params(np.random.default_rng(seed))
    exact = in_double(network, own)
    return Tape(network, exact, kernels.ops("reference"), True), StepPlan(network, own)


def agree(tape, plan, close=CLOSE):
    for mine, frame in zip(tape.frames, plan.frames, strict=True):
        assert mine.grads.keys() == frame.grads.keys()
        for key, grad in mine.grads.items():
            got = frame.grads[key]
            np.testing.assert_allclose(got, grad, rtol=0, atol=close * np.abs(grad).max())


def test_all_that_the_engine_computes_agrees_with_the_reference(small):
    tape, plan = both(small)
    images, deltas = given(small, 3)
    step(tape, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
    step(plan, images, deltas)
    agree(tape, plan)
    eager = [one.op.kind for one in plan.plan(3).steps if one.call]
    assert eager == ["add"]  # of the gradients of shared biases


CONV = "[convolutional]\nfilters=6\nsize=3\npad=1\nactivation=leaky\n"
WEIGHTED = "[shortcut]\nfrom=-2\nweights_type=per_feature\nactivation=linear\n"


@pytest.mark.parametrize(
    "text", ["[batchnorm]\n" + CONV, CONV + CONV + WEIGHTED], ids=["image", "weights"]
)
def test_neither_the_image_nor_parameters_are_maps_of_the_step(tmp_path, text):
    path = tmp_path / "odd.cfg"
    path.write_text("[net]\nwidth=8\nheight=8\nchannels=3\n" + text)
    network = Network.from_cfg(path)
    tape, plan = both(network)
    images, deltas = given(network, 2)
    step(tape, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
    kept = images.copy()
    step(plan, images, deltas)
    agree(tape, plan)
    assert np.array_equal(images, kept)


CROP = "[crop]\ncrop_height={}\ncrop_width={}\nflip=1\n"
DRAWS = f"{CROP.format(9, 8)}{CONV}[dropout]\n{CROP.format(7, 5)}{CONV}[dropout]\ndropblock=1\n"


def test_what_is_drawn_is_what_the_eager_run_draws(tmp_path):
    path = tmp_path / "draws.cfg"
    path.write_text("[net]\nwidth=11\nheight=10\nchannels=3\n" + DRAWS + CONV)
    network = Network.from_cfg(path)
    tape, plan = both(network)
    for count in (3, 2, 3):
        images, deltas = given(network, count, count)
        want = step(tape, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
        got = step(plan, images, deltas)
        for index, y in want.items():
            np.testing.assert_allclose(got[index], y, rtol=0, atol=1e-5 * np.abs(y).max())
    agree(tape, plan)
    kinds = [op.kind for op in plan.plan(3).program.ops]
    assert kinds.count("crop_places") == 2
    assert kinds.count("crop_grad") == 1  # nobody asks for the gradient of the picture


def test_gradients_add_up_over_mini_batches_of_other_sizes(small):
    tape, plan = both(small)
    for count in (3, 2, 3):
        images, deltas = given(small, count, count)
        step(tape, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
        step(plan, images, deltas)
    agree(tape, plan)
    known = {id(grad) for frame in plan.frames for grad in frame.grads.values()}
    for frame in plan.frames:
        frame.grads.clear()
    again, _ = both(small)
    images, deltas = given(small, 2)
    step(again, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
    step(plan, images, deltas)
    agree(again, plan)  # nothing is left of the iteration before
    assert known  # and its arrays were others


def test_parameters_are_read_anew_in_every_step(small):
    tape, plan = both(small)
    images, deltas = given(small, 2)
    step(plan, images, deltas)
    for round_ in range(2):
        owners = {node.owner for node in small.nodes}
        for mine, theirs in ((tape.frames[i], plan.frames[i]) for i in owners):
            for name, value in theirs.params.items():
                changed = value * np.float32(1.5) + np.float32(0.01)
                mine.params[name] = changed.astype(float)
                if round_:
                    theirs.params[name] = changed  # another array
                else:
                    value[...] = changed
        for frame in (*tape.frames, *plan.frames):
            frame.grads.clear()
        step(tape, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
        step(plan, images, deltas)
        agree(tape, plan)


def test_sizes_share_memory(small):
    room = Training()
    _, plan = both(small)
    sizes = [
        StepPlan(small.resized(side, side), plan.params, room=room) for side in (32, 64, 32, 48)
    ]
    for made in sizes:
        images, deltas = given(made.network, 2)
        step(made, images, deltas)
    large = max(one.arena for one in room.plans.values())
    assert len(room.take("arena", 0)) == large
    assert len(room.plans) == 3  # that of 32 was made again, in larger memory
    images, deltas = given(small, 2)
    first = step(sizes[0], images, deltas)
    tape, _ = both(small)
    want = step(tape, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
    for index, y in want.items():
        np.testing.assert_allclose(first[index], y, rtol=0, atol=1e-5)


def test_the_same_bytes_every_time(small):
    images, deltas = given(small, 2)
    found = []
    for _ in range(2):
        _, plan = both(small)
        step(plan, images, deltas)
        found.append([grad.copy() for frame in plan.frames for grad in frame.grads.values()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("frozen", [0, 3])
def test_layers_without_a_way_back(small, frozen):
    own = small.initial_params(np.random.default_rng(0))
    exact = in_double(small, own)
    tape = Tape(small, exact, kernels.ops("reference"), True, frozen=frozen)
    plan = StepPlan(small, own, frozen, 3)
    images, deltas = given(small, 2)
    tape.forward(images.astype(float))
    tape.backward({i: d.astype(float) for i, d in deltas.items()}, 3, image=False)
    plan.forward(images)
    plan.backward(deltas, 3)
    agree(tape, plan)
    for mine, theirs in zip(own, exact, strict=True):
        for key, value in theirs.items():
            np.testing.assert_allclose(mine[key], value, rtol=0, atol=1e-5)
    assert own[0]["rolling_mean"].any() == (frozen == 0)
    before = {op.kind for op in plan.plan(2).program.ops if op.node <= 3}
    assert not before & {"activate", "batch_statistics"}  # within other ops


def test_who_waits_is_told_how_code_is_built(monkeypatch):
    shown = []

    def addresses(names, progress=None):
        if progress:
            progress(1, len(names))
        return known(names)

    known = store.addresses
    monkeypatch.setattr(store, "addresses", addresses)
    network = Network.from_cfg(ROOT / "cfg" / "shapes.cfg").resized(64, 64)
    plan = StepPlan(network, network.initial_params(np.random.default_rng(0)), threads=1)
    plan.room.progress = lambda *counts: shown.append(counts)
    plan.forward(np.zeros((1, *network.image), np.float32))
    assert len(shown) == 1 and shown[0][1] > 10


HEADS = """
[net]
height=16
width=16
channels=3
[convolutional]
filters=32
size=3
pad=1
activation=leaky
[convolutional]
filters=16
size=1
activation=leaky
[convolutional]
filters=2
size=1
activation=leaky
[route]
layers=-2,-1
[yolo]
classes=1
num=3
anchors=1,1,2,2,3,3
[route]
layers=0
[convolutional]
filters=18
size=1
activation=linear
[yolo]
classes=1
num=3
anchors=1,1,2,2,3,3
"""


@pytest.fixture
def two_heads(tmp_path):
    path = tmp_path / "heads.cfg"
    path.write_text(HEADS)
    return Network.from_cfg(path)


def test_a_head_may_be_fed_by_what_a_route_joined(two_heads):
    tape, plan = both(two_heads)
    images, deltas = given(two_heads, 2)
    step(tape, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
    step(plan, images, deltas)
    agree(tape, plan)


def test_a_head_may_have_no_loss(two_heads):
    tape, plan = both(two_heads)
    plan.losing = [4]
    images, deltas = given(two_heads, 2)
    del deltas[7]
    step(tape, images.astype(float), {i: d.astype(float) for i, d in deltas.items()})
    step(plan, images, deltas)
    agree(tape, plan)
    assert not plan.frames[6].grads
