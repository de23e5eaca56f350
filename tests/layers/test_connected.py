import numpy as np
import pytest

from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.layers import Shape
from darkpy.layers.connected import Connected
from tests.layers.gradient import check_layer, drawn, run


def test_every_output_is_a_weighted_sum_of_the_input_in_the_order_c_h_w(rng):
    x = drawn((2, 2, 3, 2), rng)
    w, b = drawn((4, 12), rng), drawn((4,), rng)
    y = run(Connected(output=4, activation="linear"), x, params={"weights": w, "biases": b})[1]
    assert y.shape == (2, 4, 1, 1)
    for image in range(2):
        for k in range(4):
            total = b[k]
            for c in range(2):
                for i in range(3):
                    for j in range(2):
                        total += w[k, (c * 3 + i) * 2 + j] * x[image, c, i, j]
            assert y[image, k, 0, 0] == pytest.approx(total, rel=1e-12)


def test_normalises_with_the_rolling_statistics_outside_training(rng):
    layer = Connected(output=3, activation="relu", batch_normalize=True)
    params = {name: drawn(shape, rng) for name, shape in layer.params(Shape(5, 1, 1)).items()}
    params["rolling_variance"] = np.abs(params["rolling_variance"])
    x = drawn((2, 5, 1, 1), rng)
    y = run(layer, x, params=params)[1]
    plain = x[:, :, 0, 0] @ params["weights"].T
    normal = (plain - params["rolling_mean"]) / np.sqrt(params["rolling_variance"] + 1e-5)
    want = np.maximum(normal * params["scales"] + params["biases"], 0)
    # The epsilon is a float32: it differs from 1e-5 by 3e-13, which the root may enlarge.
    np.testing.assert_allclose(y[:, :, 0, 0], want, rtol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_with_every_activation(activation):
    check_layer(Connected(output=3, activation=activation), (2, 2, 3))


@pytest.mark.parametrize("activation", ["linear", "leaky", "mish"])
def test_gradients_of_the_normalised(activation):
    layer = Connected(output=3, activation=activation, batch_normalize=True)
    check_layer(layer, (2, 2, 1), batch=5)


def test_parameters_stand_in_the_order_of_a_weights_file():
    x = Shape(8, 3, 3)
    assert list(Connected(output=5).params(x).items()) == [("biases", (5,)), ("weights", (5, 72))]
    normalised = Connected(output=5, batch_normalize=True).params(x)
    assert list(normalised) == ["biases", "weights", "scales", "rolling_mean", "rolling_variance"]
    assert Connected.follows_flag and Connected.is_vector


def test_starts_as_darknet_does(rng):
    weights = Connected(output=50).initial("weights", (50, 200), rng)
    bound = np.sqrt(2 / 200)  # connected_layer.c: sqrt(2 / inputs) times a number of -1..1
    assert 0.98 * bound < np.abs(weights).max() <= bound


def test_keys(build):
    assert build("connected") == Connected(output=1, activation="logistic", batch_normalize=False)
    assert build("conn", "output=7 activation=leaky batch_normalize=1") == Connected(
        output=7, activation="leaky", batch_normalize=True
    )
    assert Connected(output=7).shape(Shape(3, 4, 5)) == Shape(7, 1, 1)
