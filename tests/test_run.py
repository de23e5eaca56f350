"""The eager run: forward and back through whole networks."""

import tracemalloc

import numpy as np
import pytest

from darkpy import Network
from darkpy.errors import NetworkError
from darkpy.kernels import ops
from darkpy.run import Tape
from tests.layers.gradient import DERIVABLE

TEXT = """[net]
width=12
height=8
channels=2
[convolutional]
filters=4
size=3
pad=1
activation=mish
batch_normalize=1
[convolutional]
filters=4
size=3
pad=1
activation=swish
[convolutional]
filters=4
size=3
pad=1
share_index=1
activation=tanh
[shortcut]
from=-3
[maxpool]
size=2
stride=2
[upsample]
stride=2
[route]
layers=-1,-3
[convolutional]
filters=3
size=1
activation=linear
"""


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "x.cfg"
    path.write_text(TEXT)
    return Network.from_cfg(path)


def double(params):
    """Return parameters as float64; those that are shared stay shared."""
    kept = {id(p): {name: a.astype(float) for name, a in p.items()} for p in params}
    return [kept[id(p)] for p in params]


def test_forward_gives_the_last_layer_where_there_is_no_head(network, rng):
    tape = Tape(network, network.initial_params(rng), ops("reference"))
    x = rng.normal(0, 1, (2, 2, 8, 12)).astype(np.float32)
    outputs = tape.forward(x)
    every = tape.activations(x)
    assert list(outputs) == [7] and len(every) == 8
    np.testing.assert_array_equal(outputs[7], every[7])
    assert [y.shape[1:] for y in every] == [node.shape for node in network.nodes]


def test_batch_is_the_pictures_one_by_one(network, rng):
    tape = Tape(network, network.initial_params(rng), ops("reference"))
    x = rng.normal(0, 1, (3, 2, 8, 12)).astype(np.float32)
    together = tape.forward(x)[7]
    alone = np.concatenate([tape.forward(one[None])[7] for one in x])
    np.testing.assert_allclose(together, alone, atol=1e-6)  # BLAS may add in another order


def test_gradients_of_a_whole_network(network, rng):
    params = double(network.initial_params(rng))
    x = rng.normal(0, 1, (2, 2, 8, 12))
    weight = rng.normal(0, 1, (2, 3, 8, 12))

    def loss(x):
        y = Tape(network, double(params), DERIVABLE, train=True).forward(x)[7]
        return float((y * weight).sum())

    tape = Tape(network, double(params), DERIVABLE, train=True)
    tape.forward(x)
    dx = tape.backward({7: weight})
    step = 1e-6

    def slope(array, at):
        kept = array[at]
        array[at] = kept + step
        high = loss(x)
        array[at] = kept - step
        low = loss(x)
        array[at] = kept
        return (high - low) / (2 * step)

    for _ in range(12):
        at = tuple(rng.integers(0, n) for n in x.shape)
        # central differences of a smooth function in float64: 1e-6 is what they resolve
        assert dx[at] == pytest.approx(slope(x, at), rel=1e-5, abs=1e-6)
    for index in (0, 1, 7):
        for name, gradient in tape.frames[index].grads.items():
            at = tuple(rng.integers(0, n) for n in gradient.shape)
            assert gradient[at] == pytest.approx(slope(params[index][name], at), rel=1e-5, abs=1e-6)
    assert tape.frames[2].grads is tape.frames[1].grads


def test_inference_keeps_nothing_for_the_way_back(network, rng):
    tape = Tape(network, network.initial_params(rng), ops("reference"))
    tape.forward(rng.normal(0, 1, (1, 2, 8, 12)).astype(np.float32))
    assert all(frame.saved == () and frame.grads == {} for frame in tape.frames)


def test_inference_lets_go_of_what_is_used_up(tmp_path, rng):
    layer = "[convolutional]\nfilters=4\nactivation=linear\n"
    path = tmp_path / "long.cfg"
    path.write_text("[net]\nwidth=64\nheight=64\nchannels=4\n" + 20 * layer)
    network = Network.from_cfg(path)
    tape = Tape(network, network.initial_params(rng), ops("reference"))
    x = rng.normal(0, 1, (1, 4, 64, 64)).astype(np.float32)
    tape.forward(x)
    tracemalloc.start()
    tape.forward(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * x.nbytes  # not 20 outputs of this size: columns and two or three maps


def grads_of(network, rng, until=-1, image=True, **tape):
    """Return the tape after a way back, the picture's gradient, and which layers got gradients."""
    tape = Tape(network, network.initial_params(rng), ops("reference"), True, **tape)
    x = rng.normal(0, 1, (2, 2, 8, 12)).astype(np.float32)
    y = tape.forward(x)[7]
    dx = tape.backward({7: np.ones_like(y)}, until, image)
    return tape, dx, [k for k, frame in enumerate(tape.frames) if frame.grads]


def test_the_way_back_ends_before_the_layer_it_is_told(network, rng):
    _, dx, reached = grads_of(network, rng, until=1)
    assert dx is None and reached == [1, 2, 7]  # the second, which shares with the third


def test_the_gradient_of_the_picture_is_left_out_if_nobody_wants_it(network, rng):
    _, dx, reached = grads_of(network, rng, image=False)
    assert dx is None and reached == [0, 1, 2, 7]
    _, dx, _ = grads_of(network, rng)
    assert dx.shape == (2, 2, 8, 12)


def test_all_that_was_kept_is_let_go_on_the_way_back(network, rng):
    tape, _, _ = grads_of(network, rng)
    assert all(frame.saved == () for frame in tape.frames)


def test_frozen_layers_run_as_in_inference(network, rng):
    tape, _, _ = grads_of(network, rng, until=1, frozen=1)
    assert not tape.frames[0].params["rolling_mean"].any()
    tape, _, _ = grads_of(network, rng, until=1)
    assert tape.frames[0].params["rolling_mean"].any()


def test_onlyforward_stops_what_comes_back_through_the_layer(tmp_path, rng):
    path = tmp_path / "x.cfg"
    path.write_text(TEXT.replace("activation=swish", "activation=swish\nonlyforward=1"))
    _, _, reached = grads_of(Network.from_cfg(path), rng)
    assert 0 in reached  # by way of the [shortcut]
    path.write_text(TEXT.replace("[maxpool]", "[maxpool]\nonlyforward=1").replace("-1,-3", "-1"))
    _, dx, reached = grads_of(Network.from_cfg(path), rng)
    assert dx is None and reached == [7]


def test_a_layer_without_memory_is_named(network, rng, monkeypatch):
    tape = Tape(network, network.initial_params(rng), ops("reference"))

    def fails(*_, **__):
        raise MemoryError

    monkeypatch.setattr(tape.ops, "maxpool", fails)
    x = rng.normal(0, 1, (1, 2, 8, 12)).astype(np.float32)
    with pytest.raises(MemoryError, match=r"layer 4 \[maxpool\]: not enough memory") as caught:
        tape.forward(x)
    assert isinstance(caught.value, NetworkError)
