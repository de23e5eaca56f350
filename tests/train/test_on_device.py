"""Training on a GPU, which the processor stands for: the same numbers, and one state for both."""

from contextlib import closing
from dataclasses import astuple
from operator import attrgetter

import numpy as np
import pytest

from darkpy import DeviceError, TrainingError
from darkpy.loss import Rejection
from darkpy.network import Network
from darkpy.train import begin
from darkpy.train.finite import NotFinite
from darkpy.train.state import load_state, save_state
from darkpy.train.trainer import Trainer
from tests.hostcuda import missing
from tests.train.project import prepared, write_project

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
CFG = """[net]
width=32
height=32
channels=3
batch=4
subdivisions={subdivisions}
learning_rate=0.01
momentum=0.9
decay=0.0005
max_batches={batches}
policy=constant
{more}
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=16
size=3
stride=2
pad=1
activation=mish
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


def network(tmp_path, subdivisions: int = 2, batches: int = 100, more: str = "") -> Network:
    path = tmp_path / "x.cfg"
    path.write_text(CFG.format(subdivisions=subdivisions, batches=batches, more=more))
    return Network.from_cfg(path)


def batches(count: int) -> list[tuple[np.ndarray, list[np.ndarray]]]:
    """Return pictures and truths of some iterations."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(count):
        boxes = [
            np.column_stack([rng.integers(0, 2, 2), rng.uniform(0.2, 0.8, (2, 4))])
            for _ in range(4)
        ]
        found.append(
            (rng.random((4, 3, 32, 32), np.float32), [one.astype(np.float32) for one in boxes])
        )
    return found


def train(trainer: Trainer, steps) -> list[float]:
    return [trainer.step(images, truths) for images, truths in steps]


def same(found: Trainer, wanted: Trainer, rtol: float) -> None:
    """Compare parameters, moments and averages; of each array by its norm."""
    pairs = list(zip(found.params, wanted.params, strict=True))
    pairs += zip(found.average or (), wanted.average or (), strict=True)
    for own, other in pairs:
        for name, array in other.items():
            assert np.linalg.norm(own[name] - array) <= rtol * np.linalg.norm(array) + 1e-6, name
    moments = zip(found.optimizer.moments, wanted.optimizer.moments, strict=True)
    for own, other in moments:
        for name, arrays in other.items():
            for one, array in zip(own[name], arrays, strict=True):
                assert np.linalg.norm(one - array) <= 10 * rtol * np.linalg.norm(array) + 1e-6


@pytest.mark.parametrize(
    "more", ["", "adam=1", "ema_alpha=0.9\nburn_in=1", "momentum=0.5\ndecay=0"], ids=str
)
def test_learns_what_the_processor_learns(gpu, tmp_path, more):
    net = network(tmp_path, batches=4 if "ema" in more else 100, more=more)
    here, there = Trainer(net), Trainer(net, device="cuda:0", precision="fp32")
    steps = batches(3)
    # sums in another order, by which a few numbers fall on the other side of a kink
    np.testing.assert_allclose(train(there, steps), train(here, steps), rtol=1e-4)
    same(there, here, 1e-3)
    assert there.heads[0].name == here.heads[0].name
    assert (there.average is None) == (here.average is None)


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16"])
def test_other_precisions_learn_about_the_same(gpu, tmp_path, precision):
    net = network(tmp_path, subdivisions=1)
    steps = batches(3)
    here, there = Trainer(net), Trainer(net, device="cuda", precision=precision)
    np.testing.assert_allclose(train(there, steps), train(here, steps), rtol=2e-2)
    same(there, here, 0.1)


def test_tf32_is_what_a_gpu_trains_in(gpu, tmp_path):
    net = network(tmp_path)
    assert Trainer(net, device="cuda:0").precision == "tf32"
    assert Trainer(net).precision == "fp32"
    with pytest.raises(DeviceError, match="expected 'fp32' or 'bf16' on device 'cpu'"):
        Trainer(net, precision="fp16")
    with pytest.raises(DeviceError, match="the processor trains in 'fp32' alone"):
        Trainer(net, precision="bf16")


@pytest.mark.parametrize("devices", [("cpu", "cuda:0"), ("cuda:0", "cpu")])
def test_a_training_moves_between_processor_and_gpu(gpu, tmp_path, devices):
    net, steps = network(tmp_path), batches(4)
    whole = Trainer(net)
    losses = train(whole, steps)
    first, second = (
        Trainer(net, device=one, precision=None if one == "cpu" else "fp32") for one in devices
    )
    assert train(first, steps[:2]) == pytest.approx(losses[:2], rel=1e-4)
    save_state(tmp_path / "state.npz", first, {"some": 1})
    assert load_state(tmp_path / "state.npz", second) == {"some": 1}
    assert second.iteration == 2
    assert train(second, steps[2:]) == pytest.approx(losses[2:], rel=1e-4)
    same(second, whole, 1e-3)


def test_goes_on_bit_for_bit(gpu, tmp_path):
    net, steps = network(tmp_path), batches(4)
    whole, first, second = (Trainer(net, device="cuda:0", precision="tf32") for _ in range(3))
    losses = train(whole, steps)
    train(first, steps[:2])
    save_state(tmp_path / "state.npz", first, {})
    load_state(tmp_path / "state.npz", second)
    assert train(second, steps[2:]) == losses[2:]
    for own, other in zip(second.params, whole.params, strict=True):
        for name, array in other.items():
            assert np.array_equal(own[name], array)


def test_an_average_begins_as_the_device_has_the_weights(gpu, tmp_path):
    trainer = Trainer(network(tmp_path), device="cuda:0", precision="fp32")
    train(trainer, batches(1))
    trainer.start_average()
    mean, params = trainer.average[0], trainer.params[0]
    assert mean and all(np.array_equal(array, params[name]) for name, array in mean.items())


def test_changed_parameters_are_taken(gpu, tmp_path):
    net, steps = network(tmp_path), batches(2)
    here, there = Trainer(net), Trainer(net, device="cuda:0", precision="fp32")
    for one in (here, there):
        train(one, steps[:1])
        one.params[0]["weights"] *= 0.5
        train(one, steps[1:])
    same(there, here, 1e-3)


def test_what_is_not_finite_is_named(gpu, tmp_path):
    trainer = Trainer(network(tmp_path), device="cuda:0", precision="fp32")
    ((images, truths),) = batches(1)
    trainer.params[2]["weights"][...] = 1e30
    with pytest.raises(NotFinite, match=r"layer 3 \[yolo\]: puts out no finite"):
        trainer.step(images, truths)


def test_weights_are_written_as_the_device_has_them(gpu, tmp_path):
    net, steps = network(tmp_path), batches(2)
    trainer = Trainer(net, device="cuda:0", precision="fp32")
    train(trainer, steps)
    trainer.save_weights(tmp_path / "x.weights")
    again = Trainer(net, tmp_path / "x.weights")
    for own, other in zip(again.params, trainer.params, strict=True):
        for name, array in other.items():
            assert np.array_equal(own[name], array)


CROP = "[crop]\ncrop_height={0}\ncrop_width={0}\nflip=1\n"


def cutting(tmp_path) -> tuple[Network, list[tuple[np.ndarray, list[np.ndarray]]]]:
    """Return a network that cuts the picture and a map, and four batches for it."""
    path = tmp_path / "cutting.cfg"
    text = CFG.format(subdivisions=2, batches=100, more="").replace("=32", "=38")
    net, first, *rest = text.split("[convolutional]")
    path.write_text("[convolutional]".join([net + CROP.format(36), first + CROP.format(16), *rest]))
    rng = np.random.default_rng(0)
    steps = [(rng.random((4, 3, 38, 38), np.float32), truths) for _, truths in batches(4)]
    return Network.from_cfg(path), steps


def test_cuts_where_the_processor_does(gpu, tmp_path, monkeypatch):
    net, steps = cutting(tmp_path)
    eager = Trainer(net)
    monkeypatch.setattr("darkpy.train.on_host.PLAN_FROM", 0)
    planned, there = Trainer(net), Trainer(net, device="cuda:0", precision="fp32")
    losses = train(eager, steps)
    for other in (planned, there):
        np.testing.assert_allclose(train(other, steps), losses, rtol=1e-4)
        same(other, eager, 1e-3)
    assert planned._on.planned and not eager._on.planned


def test_cuts_on_as_if_it_had_not_stopped(gpu, tmp_path):
    net, steps = cutting(tmp_path)
    whole, first, second = (Trainer(net, device="cuda:0", precision="fp32") for _ in range(3))
    losses = train(whole, steps)
    train(first, steps[:2])
    save_state(tmp_path / "state.npz", first, {})
    load_state(tmp_path / "state.npz", second)
    assert train(second, steps[2:]) == losses[2:]
    same(second, whole, 0)


def test_wrong_labels_are_rejected_as_on_the_processor(gpu, tmp_path):
    keys = "num_sigmas_reject_badlabels=1\nbadlabels_rejection_percentage=50\nequidistant_point=2"
    net, steps = network(tmp_path, batches=4, more=keys), batches(6)
    whole = Trainer(net)
    losses = train(whole, steps)
    first, second = (Trainer(net, device="cuda:0", precision="fp32") for _ in range(2))
    found = train(first, steps[:5])
    save_state(tmp_path / "state.npz", first, {})
    load_state(tmp_path / "state.npz", second)
    found += train(second, steps[5:])
    np.testing.assert_allclose(found, losses, rtol=1e-4)
    same(second, whole, 1e-3)
    assert whole.rejection.threshold > 0 and first.rejection != Rejection()
    np.testing.assert_allclose(astuple(second.rejection), astuple(whole.rejection), rtol=1e-4)


@pytest.mark.parametrize("more", ["ema_alpha=0.9\nburn_in=1", "num_sigmas_reject_badlabels=9"])
def test_learns_on_another_gpu_than_the_first(gpu, tmp_path, more):
    net, steps = network(tmp_path, batches=4, more=more), batches(3)
    first, second = Trainer(net, device="cuda:0"), Trainer(net, device="cuda:1")
    assert train(first, steps) == train(second, steps)
    same(second, first, 0)


def test_memory_of_the_machine_does_not_bound_maps_of_a_gpu(gpu, tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a")
    monkeypatch.setattr(begin, "physical_memory", lambda: 1)
    with pytest.raises(TrainingError, match="not enough memory to train"):
        prepared(folder)
    with closing(prepared(folder, device="cuda:0").record):
        pass


def test_too_little_memory_of_a_gpu_is_told_with_what_to_do(gpu, tmp_path, monkeypatch):
    import cupy

    run = prepared(write_project(tmp_path / "a"), device="cuda:0")
    monkeypatch.setattr(cupy, "most", 100_000)
    told = r"tiny.cfg: .* on the device at once: .*\d bytes\.\); with more than subdivisions=2"
    with closing(run.record), pytest.raises(TrainingError, match=told):
        run.go()


def test_sizes_lie_in_the_same_memory(gpu, tmp_path):
    net, ((images, truths),) = network(tmp_path), batches(1)
    larger = images.repeat(2, 2).repeat(2, 3)
    here, there = Trainer(net), Trainer(net, device="cuda:0", precision="fp32")
    steps = [(one, truths) for one in (images, larger, images, larger, images)]
    np.testing.assert_allclose(train(there, steps), train(here, steps), rtol=1e-4)
    same(there, here, 1e-3)
    plans = [made.plan for made in there._on.room.plans.values()]
    assert len(plans) == 2 and plans[0].arena != plans[1].arena
    for name in ("_arena", "_packs._room"):
        assert len({attrgetter(name)(plan).data.ptr for plan in plans}) == 1
