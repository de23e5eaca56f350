import numpy as np
import pytest

from darkpy.layers import Shape
from darkpy.layers.batchnorm import Batchnorm
from tests.layers.gradient import check_layer, draw_params, drawn, run


def test_parameters_in_file_order():
    names = ["biases", "scales", "rolling_mean", "rolling_variance"]
    assert Batchnorm().params(Shape(5, 2, 3)) == dict.fromkeys(names, (5,))


def test_inference_uses_the_rolling_statistics(rng):
    params = draw_params(Batchnorm(), [Shape(3, 4, 2)], rng)
    x = drawn((2, 3, 4, 2), rng)
    y = run(Batchnorm(), x, params=params)[1]
    for k in range(3):
        biases, scales, mean, variance = (value[k] for value in params.values())
        expected = (x[:, k] - mean) / np.sqrt(variance + 1e-5) * scales + biases
        np.testing.assert_allclose(y[:, k], expected, rtol=1e-9)  # 1e-5 is a float32


def test_training_uses_the_batch_and_moves_the_rolling_statistics(rng):
    params = draw_params(Batchnorm(), [Shape(3, 4, 2)], rng)
    x = drawn((2, 3, 4, 2), rng)
    ctx, y = run(Batchnorm(), x, params=params, train=True)
    for k in range(3):
        values = x[:, k].reshape(-1)
        mean, variance = values.mean(), values.var(ddof=1)
        expected = (x[:, k] - mean) / np.sqrt(variance + 1e-5)
        expected = expected * params["scales"][k] + params["biases"][k]
        np.testing.assert_allclose(y[:, k], expected, rtol=1e-9)
        for name, new in (("rolling_mean", mean), ("rolling_variance", variance)):
            moved = 0.99 * params[name][k] + 0.01 * new
            np.testing.assert_allclose(ctx.params[name][k], moved, rtol=1e-7)  # .99 in float32


@pytest.mark.parametrize(("shape", "batch"), [((3, 4, 2), 2), ((2, 3, 3), 1), ((4, 1, 1), 3)])
def test_gradient_through_the_batch_statistics(shape, batch):
    check_layer(Batchnorm(), shape, batch=batch)


def test_a_single_value_a_channel_gives_the_bias(rng):
    params = draw_params(Batchnorm(), [Shape(3, 1, 1)], rng)
    y = run(Batchnorm(), drawn((1, 3, 1, 1), rng), params=params, train=True)[1]
    np.testing.assert_array_equal(y[0, :, 0, 0], params["biases"])
