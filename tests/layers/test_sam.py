import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.layers import Shape
from darkpy.layers.sam import Sam
from tests.layers.gradient import check_layer, drawn, run


def test_product(rng):
    x, y = drawn((2, 3, 4, 5), rng), drawn((2, 3, 4, 5), rng)
    np.testing.assert_array_equal(run(Sam(from_=-2), x, y)[1], x * y)
    check_layer(Sam(from_=-2), (3, 4, 5), (3, 4, 5))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    check_layer(Sam(from_=-2, activation=activation), (3, 2, 2), (3, 2, 2))


def test_refuses_two_shapes():
    with pytest.raises(NetworkError, match="is 1x2x3, layer -2 4x2x3; expected one shape"):
        Sam(from_=-2).shape(Shape(1, 2, 3), Shape(4, 2, 3))


def test_from_is_required():
    assert Sam(from_=-3).inputs(9) == (8, 6)
    with pytest.raises(NetworkError, match="has no from="):
        Sam().inputs(9)
