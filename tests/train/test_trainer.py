import numpy as np
import pytest

from darkpy import Network, read_weights
from darkpy.errors import DeviceError, TrainingError
from darkpy.loss import LOSSES, Moment
from darkpy.run import Tape
from darkpy.train import trainer as module
from darkpy.train.finite import NotFinite
from darkpy.train.optimizer import Optimizer
from darkpy.train.trainer import Trainer

NET = """[net]
width=16
height=16
channels=2
batch=4
subdivisions=2
max_batches=100
learning_rate=.01
{net}
[convolutional]
filters=4
size=3
stride=2
pad=1
batch_normalize=1
activation=mish
{first}
[convolutional]
filters=4
size=3
stride=2
pad=1
activation=leaky
{second}
[convolutional]
filters=7
size=1
activation=linear
[yolo]
mask=0
anchors=6,6
classes=2
num=1
{head}
"""


def cfg(folder, **keys):
    path = folder / "x.cfg"
    path.write_text(NET.format(**{"net": "", "first": "", "second": "", "head": "", **keys}))
    return path


@pytest.fixture
def images(rng):
    return rng.random((4, 2, 16, 16), np.float32)


TRUTHS = [
    np.array([[k % 2, 0.5, 0.4, 0.4, 0.3]][: 3 - k], np.float32).reshape(-1, 5) for k in range(4)
]


def trained(path, images, steps=1, device="cpu", at=0):
    """Return a trainer after some steps."""
    trainer = Trainer(path, device=device)
    trainer.iteration = at
    for _ in range(steps):
        trainer.step(images, TRUTHS)
    return trainer


def arrays(params):
    return {f"{k}/{name}": w.copy() for k, own in enumerate(params) for name, w in own.items()}


def changed(path, images, **more):
    """Return which arrays a step changes."""
    before, after = arrays(Trainer(path).params), arrays(trained(path, images, **more).params)
    return {name for name, w in before.items() if (w != after[name]).any()}


def test_a_step_is_every_minibatch_and_one_update(tmp_path, images):
    path = cfg(tmp_path)
    Trainer(path, seed=5).save_weights(tmp_path / "x.weights")
    trainer = Trainer(path, tmp_path / "x.weights", seed=5)
    loss = trainer.step(images, TRUTHS)
    network = Network.from_cfg(path)
    params = read_weights(network, tmp_path / "x.weights")
    tape, costs = Tape(network, params, trainer.ops, True), []
    (head,) = trainer.losing
    for part in (slice(0, 2), slice(2, 4)):
        out = tape.forward(images[part])[head.index]
        moment = Moment(network.image, network.options, part.stop, 0)
        found = LOSSES["yolo"](tape.ops, head.layer, out, TRUTHS[part], moment)
        costs.append(found.cost)
        tape.backward({head.index: found.gradient})
    Optimizer(network, params, tape.ops).update([f.grads for f in tape.frames], 0.01, 4, 1)
    assert loss == pytest.approx(sum(costs) / 4)
    for name, w in arrays(params).items():
        np.testing.assert_array_equal(w, arrays(trainer.params)[name], err_msg=name)
    assert trainer.iteration == 1 and trainer.rate == 0.01 and trainer.seen == 4
    assert trainer.heads[0].count == 3 and trainer.heads[0].name == "yolo_3"


def test_the_loss_falls(tmp_path, images):
    trainer = Trainer(cfg(tmp_path))
    losses = [trainer.step(images, TRUTHS) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_devices_agree(tmp_path, images):
    path = cfg(tmp_path)
    one, other = (trained(path, images, 3, device).params for device in ("cpu", "reference"))
    for name, w in arrays(one).items():
        np.testing.assert_allclose(w, arrays(other)[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_burn_in_and_the_scale_of_the_rate(tmp_path, images):
    trainer = Trainer(cfg(tmp_path, net="burn_in=10\npower=2"))
    trainer.rate_scale = 0.5
    trainer.step(images, TRUTHS)
    assert trainer.rate == pytest.approx(0.5 * 0.01 * 0.1**2)


LEARNED = {"weights", "scales"}  # and biases where there is no batch norm
STATISTICS = {"0/rolling_mean", "0/rolling_variance"}


def test_what_a_step_changes(tmp_path, images):
    assert changed(cfg(tmp_path), images) == {
        *STATISTICS,
        *(f"0/{name}" for name in LEARNED),
        *(f"{k}/{name}" for k in (1, 2) for name in ("weights", "biases")),
    }


def test_frozen_layers_keep_their_statistics_too(tmp_path, images):
    path = cfg(tmp_path, second="stopbackward=1", net="decay=0\nmomentum=0")
    # the layer that has the key ends the way back before its own gradient
    assert changed(path, images) == {"2/weights", "2/biases"}


def test_a_stop_for_some_iterations_decays_weights_and_moves_statistics(tmp_path, images):
    path = cfg(tmp_path, second="stopbackward=9")
    first = {*STATISTICS, "0/weights", "1/weights", "2/weights", "2/biases"}
    assert changed(path, images) == first
    assert changed(path, images, at=8) == changed(cfg(tmp_path), images)


def test_a_layer_that_only_goes_forward_stops_what_comes_back(tmp_path, images):
    path = cfg(tmp_path, second="onlyforward=1", net="decay=0")
    assert changed(path, images) == {*STATISTICS, "2/weights", "2/biases"}


def test_train_only_bn_moves_statistics_alone(tmp_path, images):
    path = cfg(tmp_path, second="train_only_bn=1")
    assert changed(path, images) == {*STATISTICS, "2/weights", "2/biases"}


def test_another_size_of_picture(tmp_path, rng):
    trainer = Trainer(cfg(tmp_path))
    trainer.step(rng.random((4, 2, 24, 32), np.float32), TRUTHS)
    assert trainer.iteration == 1


def test_a_network_of_vectors_takes_one_size(tmp_path, rng):
    text = NET.format(net="", first="", second="", head="")
    connected = (
        "[connected]\noutput=112\nactivation=linear\n[detection]\nclasses=2\nside=4\nnum=1\n"
    )
    path = tmp_path / "x.cfg"
    path.write_text(text.partition("[yolo]")[0] + connected + "coords=4\n")
    trainer = Trainer(path)
    with pytest.raises(TrainingError, match=r"layer 3 \[connected\]: takes pictures of 16 x 16"):
        trainer.step(rng.random((4, 2, 32, 32), np.float32), TRUTHS)


def test_dropout_is_drawn_anew_and_the_same_again(tmp_path, images):
    text = NET.format(net="", first="", second="[dropout]\nprobability=.5\n", head="")
    path = tmp_path / "x.cfg"
    path.write_text(text)
    one, other = Trainer(path), Trainer(path)
    losses = [one.step(images, TRUTHS), other.step(images, TRUTHS)]
    assert losses[0] == losses[1]
    third = Trainer(path, seed=0)
    third.iteration = 1
    assert third.step(images, TRUTHS) != losses[0]


def test_ema_follows_from_the_middle_and_becomes_the_weights_once(tmp_path, images, monkeypatch):
    monkeypatch.setattr(module, "LAST_WITHOUT_EMA", 4)
    trainer = Trainer(cfg(tmp_path, net="ema_alpha=.75"))
    trainer.iteration = 48
    trainer.step(images, TRUTHS)
    assert trainer.average is None
    trainer.step(images, TRUTHS)  # the 50th of a hundred
    mean = arrays(trainer.params)
    for _ in range(3):
        trainer.step(images, TRUTHS)
        for name, w in arrays(trainer.params).items():
            mean[name] = 0.75 * mean[name] + 0.25 * w
    average = arrays(trainer.average)
    held = {
        "0/scales",
        "0/weights",
        *(f"{k}/{name}" for k in (1, 2) for name in ("biases", "weights")),
    }
    assert average.keys() == held
    for name, w in average.items():
        np.testing.assert_allclose(w, mean[name], rtol=1e-5, atol=1e-7)
    trainer.iteration = 95
    trainer.step(images, TRUTHS)  # the 96th
    assert (trainer.params[1]["weights"] == average["1/weights"]).all()
    trainer.step(images, TRUTHS)
    assert (trainer.params[1]["weights"] != average["1/weights"]).any()
    assert (trainer.average[1]["weights"] == average["1/weights"]).all()


def test_weights_of_the_average_have_the_statistics_of_the_run(tmp_path, images):
    trainer = Trainer(cfg(tmp_path, net="ema_alpha=.9"))
    trainer.step(images, TRUTHS)
    trainer.start_average()
    trainer.step(images, TRUTHS)
    trainer.save_weights(tmp_path / "x.weights")
    trainer.save_weights(tmp_path / "ema.weights", average=True)
    own, mean = (read_weights(trainer.network, tmp_path / f"{n}.weights") for n in ("x", "ema"))
    assert own.seen == mean.seen == 8
    assert (own[0]["rolling_mean"] == mean[0]["rolling_mean"]).all()
    assert (own[0]["weights"] != mean[0]["weights"]).any()


# What is no number.


def test_a_picture_of_nan(tmp_path, images):
    trainer = Trainer(cfg(tmp_path))
    images[3, 0, 2, 2] = np.nan
    before = arrays(trainer.params)
    with pytest.raises(NotFinite, match=r"x.cfg:\d+: layer 0 \[convolutional\]: puts") as caught:
        trainer.step(images, TRUTHS)
    assert caught.value.slots == range(2, 4)
    assert trainer.iteration == 0
    assert (before["0/weights"] == trainer.params[0]["weights"]).all()


def spoil_gradient(monkeypatch, value):
    loss = LOSSES["yolo"]

    def spoiled(*args):
        found = loss(*args)
        found.gradient.flat[0] = value
        return found

    monkeypatch.setitem(LOSSES, "yolo", spoiled)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gradient_that_is_not_finite(tmp_path, images, monkeypatch, value):
    spoil_gradient(monkeypatch, value)
    with pytest.raises(NotFinite, match=r"layer 0 .*gradient of its \w+ is not finite"):
        Trainer(cfg(tmp_path)).step(images, TRUTHS)
    trainer = Trainer(cfg(tmp_path, net="try_fix_nan=1"))
    trainer.step(images, TRUTHS)
    assert all(np.isfinite(w).all() for w in arrays(trainer.params).values())


@pytest.mark.parametrize("adam", [0, 1])
def test_weights_that_leave_the_range_in_an_update(tmp_path, images, adam):
    path = cfg(tmp_path, net=f"adam={adam}")
    path.write_text(path.read_text().replace("learning_rate=.01", "learning_rate=1e38"))
    trainer = Trainer(path)
    trainer.rate_scale = 1e6
    with pytest.raises(NotFinite, match=r"its \w+ left the range of finite numbers"):
        trainer.step(images, TRUTHS)
    assert trainer.iteration == 0


# What a caller may get wrong.


@pytest.mark.parametrize(
    ("images", "truths", "words"),
    [
        (np.zeros((4, 3, 16, 16)), TRUTHS, r"pictures \(batch, 2, h, w\).*got \(4, 3, 16, 16\)"),
        (np.zeros((2, 16, 16)), TRUTHS, r"got \(2, 16, 16\)"),
        (np.zeros((0, 2, 16, 16)), [], r"got \(0, 2, 16, 16\)"),
        (np.zeros((4, 2, 16, 16)), TRUTHS[:3], "4 pictures, but truths of 3"),
        ("dog.jpg", TRUTHS, "no array of numbers"),
        ([[1], [2, 3]], TRUTHS, "no array of numbers"),
        (np.zeros((1, 2, 16, 16)), [np.zeros((1, 4))], r"picture 0: expected \(k, 5\).*\(1, 4\)"),
        (np.zeros((1, 2, 16, 16)), [np.zeros(5)], r"got \(5,\)"),
        (np.zeros((1, 2, 16, 16)), [["cat"]], "no array of numbers"),
    ],
)
def test_wrong_arguments(tmp_path, images, truths, words):
    with pytest.raises(TrainingError, match=words):
        Trainer(cfg(tmp_path)).step(images, truths)


def test_lists_and_float64_will_do(tmp_path, images):
    one, other = Trainer(cfg(tmp_path)), Trainer(cfg(tmp_path))
    lists = [truths.tolist() or np.empty((0, 5)) for truths in TRUTHS]
    assert one.step(images, TRUTHS) == other.step(images.astype(float), lists)


def test_a_network_without_a_loss(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text("[net]\nwidth=4\nheight=4\nchannels=1\n[avgpool]\n")
    with pytest.raises(TrainingError, match=r"x.cfg: no layer has a loss; expected one of .*yolo"):
        Trainer(path)


def test_an_unknown_device(tmp_path):
    with pytest.raises(DeviceError, match="'tpu'"):
        Trainer(cfg(tmp_path), device="tpu")
    with pytest.raises(DeviceError, match=r"device 'cuda': .*'cpu' computes on the processor"):
        Trainer(cfg(tmp_path), device="cuda")


def test_rolling_averages_of_drawn_layers_begin_with_the_first_mini_batch(tmp_path, images):
    trainer = Trainer(cfg(tmp_path))
    tape = Tape(trainer.network, trainer.params, trainer.ops, train=True)
    seen = trainer.ops.conv2d(images[:2], trainer.params[0]["weights"], stride=(2, 2), padding=1)
    mean, variance = trainer.ops.batch_statistics(seen)
    assert (tape.frames[0].params["rolling_variance"] == 1).all()
    second = trainer.ops.batch_statistics(
        trainer.ops.conv2d(images[2:], trainer.params[0]["weights"], stride=(2, 2), padding=1)
    )
    trainer.step(images, TRUTHS)
    for name, one, other in zip(("mean", "variance"), (mean, variance), second, strict=True):
        got = trainer.params[0][f"rolling_{name}"]
        np.testing.assert_allclose(got, 0.99 * one + 0.01 * other, rtol=1e-4, atol=1e-6)


def test_rolling_averages_that_were_read_move_by_a_hundredth(tmp_path, images):
    first = Trainer(cfg(tmp_path))
    first.save_weights(tmp_path / "x.weights")
    trainer = Trainer(cfg(tmp_path), tmp_path / "x.weights")
    trainer.step(images, TRUTHS)
    assert (trainer.params[0]["rolling_variance"] > 0.98 * 0.99).all()
