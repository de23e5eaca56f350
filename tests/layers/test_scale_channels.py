import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.layers import Shape
from darkpy.layers.scale_channels import ScaleChannels
from tests.layers.gradient import check_layer, drawn, run


def test_each_channel_times_a_number(rng):
    x, y = drawn((2, 3, 1, 1), rng), drawn((2, 3, 4, 5), rng)
    z = run(ScaleChannels(from_=-4), x, y)[1]
    for image in range(2):
        for k in range(3):
            np.testing.assert_array_equal(z[image, k], x[image, k, 0, 0] * y[image, k])
    check_layer(ScaleChannels(from_=-4), (3, 1, 1), (3, 4, 5))


def test_each_cell_times_a_number(rng):
    x, y = drawn((2, 1, 4, 5), rng), drawn((2, 3, 4, 5), rng)
    layer = ScaleChannels(from_=-4, scale_wh=True)
    z = run(layer, x, y)[1]
    for k in range(3):
        np.testing.assert_array_equal(z[:, k], x[:, 0] * y[:, k])
    check_layer(layer, (1, 4, 5), (3, 4, 5))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    check_layer(ScaleChannels(from_=-2, activation=activation), (3, 1, 1), (3, 2, 2))


@pytest.mark.parametrize(
    ("wh", "x", "message"),
    [
        (False, (3, 2, 2), "the layer before is 3x2x2; expected 4x1x1 to scale 4x5x6"),
        (False, (3, 1, 1), "is 3x1x1; expected 4x1x1"),
        (True, (4, 1, 1), "is 4x1x1; expected 1x5x6"),
    ],
)
def test_refuses_what_does_not_fit(wh, x, message):
    with pytest.raises(NetworkError, match=message):
        ScaleChannels(from_=-2, scale_wh=wh).shape(Shape(*x), Shape(4, 5, 6))


def test_from_is_required_and_relative_or_absolute():
    assert ScaleChannels(from_=-3).inputs(9) == (8, 6)
    assert ScaleChannels(from_=0).inputs(9) == (8, 0)
    with pytest.raises(NetworkError, match="has no from="):
        ScaleChannels().inputs(9)
