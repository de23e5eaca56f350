import numpy as np
import pytest

from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.layers.activation import Activation
from tests.layers.gradient import check_layer, drawn, run


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient(name):
    check_layer(Activation(activation=name), (4, 3, 2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linear", lambda x: x),
        ("leaky", lambda x: np.where(x > 0, x, 0.1 * x)),
        ("logistic", lambda x: 1 / (1 + np.exp(-x))),
        ("relu6", lambda x: np.clip(x, 0, 6)),
        ("swish", lambda x: x / (1 + np.exp(-x))),
        ("mish", lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    ],
)
def test_forward(name, value, rng):
    x = 4 * drawn((2, 4, 3, 2), rng)
    y = run(Activation(activation=name), x)[1]
    np.testing.assert_allclose(y, value(x), rtol=1e-7)  # constants such as .1 are float32
