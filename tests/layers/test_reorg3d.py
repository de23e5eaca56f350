import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.layers import Shape
from darkpy.layers.reorg import Reorg
from darkpy.layers.reorg3d import Reorg3d
from tests.layers.gradient import check_layer, drawn, run
from tests.layers.test_reorg import darknet_order


@pytest.mark.parametrize(("shape", "stride"), [((3, 2, 4), 2), ((1, 6, 3), 3), ((2, 2, 2), 1)])
def test_forward_moves_blocks_into_channels(shape, stride, rng):
    x = drawn((2, *shape), rng)
    c, h, w = shape
    y = run(Reorg3d(stride=stride), x)[1]
    assert y.shape[1:] == (c * stride**2, h // stride, w // stride)
    for a in range(stride):
        for b in range(stride):
            first = (a * stride + b) * c
            part = x[:, :, a::stride, b::stride]
            np.testing.assert_array_equal(y[:, first : first + c], part)
    check_layer(Reorg3d(stride=stride), shape)


def test_reverse_has_darknets_order_and_undoes_reorg(rng):
    x = drawn((2, 16, 2, 3), rng)
    layer = Reorg3d(stride=2, reverse=True)
    y = run(layer, x)[1]
    assert y.shape[1:] == (4, 4, 6)
    for image, out in zip(x, y, strict=True):
        for where, to in darknet_order(4, 4, 6, 2):
            assert out.reshape(-1)[to] == image.reshape(-1)[where]
    np.testing.assert_array_equal(run(Reorg(stride=2), y)[1], x)
    check_layer(layer, (16, 2, 3))


def test_refuses_channels_that_darknet_would_divide_by_zero():
    with pytest.raises(NetworkError, match="4 input channels; expected a multiple of 16"):
        Reorg3d(stride=2, reverse=True).shape(Shape(4, 2, 2))
    with pytest.raises(NetworkError, match="3 x 4 does not divide"):
        Reorg3d(stride=2).shape(Shape(4, 3, 4))
