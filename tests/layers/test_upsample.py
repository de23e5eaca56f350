import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.layers import Shape
from darkpy.layers.upsample import Upsample
from tests.layers.gradient import check_layer, drawn, run


@pytest.mark.parametrize(("stride", "scale"), [(2, 1.0), (3, 0.5), (1, -2.0)])
def test_each_cell_becomes_a_block(stride, scale, rng):
    x = drawn((2, 2, 3, 2), rng)
    y = run(Upsample(stride=stride, scale=scale), x)[1]
    for j in range(y.shape[2]):
        for i in range(y.shape[3]):
            expected = scale * x[:, :, j // stride, i // stride]
            np.testing.assert_array_equal(y[:, :, j, i], expected)
    check_layer(Upsample(stride=stride, scale=scale), (2, 3, 2))


@pytest.mark.parametrize(("stride", "scale"), [(-2, 1.0), (-3, 0.25), (-1, 2.0)])
def test_a_negative_stride_sums_blocks(stride, scale, rng):
    x = drawn((2, 2, 6, 12), rng)
    layer, s = Upsample(stride=stride, scale=scale), -stride
    y = run(layer, x)[1]
    assert y.shape == (2, 2, 6 // s, 12 // s)
    for j in range(6 // s):
        for i in range(12 // s):
            block = x[:, :, j * s : j * s + s, i * s : i * s + s]
            np.testing.assert_allclose(y[:, :, j, i], scale * block.sum((2, 3)), rtol=1e-12)
    check_layer(layer, (2, 6, 12))


@pytest.mark.parametrize(("stride", "message"), [(0, "stride=0"), (-2, "3 x 4 does not divide")])
def test_refuses(stride, message):
    with pytest.raises(NetworkError, match=message):
        Upsample(stride=stride).shape(Shape(1, 3, 4))
