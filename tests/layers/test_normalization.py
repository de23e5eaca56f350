import numpy as np
import pytest

from darkpy.layers import LAYERS
from darkpy.layers.normalization import Normalization
from tests.layers.gradient import check_layer, drawn, run


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"size": 3, "alpha": 0.7, "beta": 0.5, "kappa": 2.0},
        {"size": 4, "alpha": 0.7},
        {"size": 1, "alpha": 0.3, "beta": 2.0},
        {"size": 1001, "alpha": 0.1},
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 7])
def test_every_channel_over_its_window(keys, channels, rng):
    layer = Normalization(**keys)
    x = drawn((2, channels, 2, 3), rng)
    y = run(layer, x)[1]
    for k in range(channels):
        window = x[:, max(0, k - (layer.size - 1) // 2) : k + layer.size // 2 + 1]
        norm = layer.kappa + layer.alpha * (window**2).sum(1)
        np.testing.assert_allclose(y[:, k], x[:, k] * norm**-layer.beta, rtol=1e-12)
    check_layer(layer, (channels, 2, 3))


def test_names():
    assert LAYERS["normalization"] is LAYERS["lrn"] is Normalization
