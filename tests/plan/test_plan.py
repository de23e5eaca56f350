"""Plans: after every prefix of passes, and on every network, what the eager run gives."""

import threading

import numpy as np
import pytest

from darkpy import kernels
from darkpy.errors import NetworkError
from darkpy.plan import compile
from darkpy.plan.passes import PASSES
from darkpy.plan.show import lines, table
from darkpy.run import Tape
from tests.conftest import ROOT, SHARED
from tests.plan import networks

CLOSE = 2e-5  # of the largest output: other orders of sums, and Winograd's way in float32
FEW = ("shapes", "yolov4-tiny", "yolo-fastest-1.1")
CFGS = sorted(ROOT.glob("cfg/*.cfg"))
ORACLES = sorted((SHARED / "oracle" / "forward").glob("*.cfg"))


def require_equal(got, want):
    assert got.keys() == want.keys()
    for index, y in want.items():
        np.testing.assert_allclose(got[index], y, rtol=0, atol=CLOSE * np.abs(y).max())


@pytest.mark.parametrize("count", range(len(PASSES) + 1))
@pytest.mark.parametrize("name", FEW)
def test_every_prefix_of_passes_gives_what_the_eager_run_gives(name, count):
    network, params, x = networks.read(ROOT / "cfg" / f"{name}.cfg", 64)
    plan = compile(network, params, passes=PASSES[:count], threads=2)
    want = Tape(network, params, kernels.ops("cpu")).forward(x)
    for _ in range(2):  # the second finds the arena as the first left it
        require_equal(plan(x), want)


@pytest.mark.slow
@pytest.mark.parametrize("path", CFGS, ids=lambda path: path.stem)
def test_every_network_of_the_zoo_gives_what_the_eager_run_gives(path):
    network, params, x = networks.read(path, 96, batch=2)
    plan = compile(network, params, batch=2, threads=3)
    plan(np.ones_like(x))
    require_equal(plan(x), Tape(network, params, kernels.ops("cpu")).forward(x))


@pytest.mark.slow
@pytest.mark.skipif(not ORACLES, reason="the oracles are not here")
@pytest.mark.parametrize("path", ORACLES, ids=lambda path: path.stem)
def test_every_network_of_the_oracles_gives_what_the_eager_run_gives(path):
    network, params, x = networks.read(path)
    plan = compile(network, params)
    plan(np.ones_like(x))
    require_equal(plan(x), Tape(network, params, kernels.ops("cpu")).forward(x))


@pytest.mark.parametrize(
    "name", ("yolov2", "yolov3-tiny", "yolov4-tiny", "yolov7-tiny", "yolo-fastest-1.1")
)
def test_nothing_of_a_shipped_network_is_left_to_the_eager_kernels(name):
    network, params, _ = networks.read(ROOT / "cfg" / f"{name}.cfg", 64)
    plan = compile(network, params, threads=1)
    found = lines(plan, runs=1)
    assert not [one for one in found if one.how == "eager"]
    assert all(one.milliseconds >= 0 for one in found)
    assert len(table(found, 100.0).splitlines()) == len(found) + 2


CLASSIFIER = """[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=32
size=3
stride=2
pad=1
antialiasing=1
activation=leaky
[convolutional]
filters=48
size=1
activation=relu
[shortcut]
from=-2
activation=leaky
[reorg3d]
stride=2
[avgpool]
[connected]
output=40
batch_normalize=1
activation=leaky
[connected]
output=10
activation=linear
[softmax]
groups=2
temperature=3
[cost]
"""


def test_nothing_of_a_classifier_is_left_to_the_eager_kernels(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text(CLASSIFIER)
    network, params, x = networks.read(path, batch=2)
    plan = compile(network, params, batch=2, threads=2)
    assert not [one for one in lines(plan) if one.how == "eager"]
    require_equal(plan(x), Tape(network, params, kernels.ops("reference")).forward(x))


def test_threads_that_call_one_plan_take_turns():
    network, params, _ = networks.read(ROOT / "cfg" / "shapes.cfg", 64)
    plan = compile(network, params, threads=2)
    xs = np.random.default_rng(2).random((8, 1, *network.image), np.float32)
    want = [plan(x) for x in xs]
    wrong = []

    def call(x, outputs):
        for _ in range(20):
            got = plan(x)
            wrong.extend(i for i in outputs if not np.array_equal(got[i], outputs[i]))

    threads = [threading.Thread(target=call, args=pair) for pair in zip(xs, want, strict=True)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


def test_the_same_bytes_whatever_the_number_of_calls():
    network, params, x = networks.read(ROOT / "cfg" / "yolo-fastest-1.1.cfg", 64)
    plan = compile(network, params, threads=2)
    first = plan(x)
    for _ in range(5):
        again = plan(x)
        assert all(np.array_equal(again[i], first[i]) for i in first)


def test_an_input_of_another_shape_is_refused():
    network, params, x = networks.read(ROOT / "cfg" / "shapes.cfg", 64)
    plan = compile(network, params, threads=1)
    with pytest.raises(NetworkError, match=r"expected an input of shape \(1, 3, 64, 64\)"):
        plan(x[:, :, :32])


def test_the_arena_holds_less_than_all_maps_together():
    network, params, _ = networks.read(ROOT / "cfg" / "yolov4-tiny.cfg", 64)
    plan = compile(network, params, threads=1)
    assert plan.arena < sum(place.size for place in plan.places.values()) / 2


def test_maps_that_cannot_fit_are_refused_at_once(monkeypatch):
    network, params, _ = networks.read(ROOT / "cfg" / "shapes.cfg", 64)
    monkeypatch.setattr("darkpy.plan.plan.physical_memory", lambda: 1_000_000)
    with pytest.raises(NetworkError, match=r"maps take \d+\.\d GB at once, .* fewer or smaller"):
        compile(network, params, batch=64, threads=1)
