import pytest

from darkpy.errors import NetworkError
from darkpy.layers import Shape
from darkpy.layers.reorg import Reorg
from tests.layers.gradient import check_layer, drawn, run


def darknet_order(c, h, w, s):
    """Yield the pairs of flat indices that darknet's reorg_cpu connects for a map of c x h x w."""
    less = c // (s * s)
    for k in range(c):
        for j in range(h):
            for i in range(w):
                column = i * s + k // less % s
                row = j * s + k // less // s
                yield i + w * (j + h * k), column + w * s * (row + h * s * (k % less))


@pytest.mark.parametrize(("shape", "stride"), [((4, 2, 4), 2), ((8, 4, 2), 2), ((9, 3, 6), 3)])
def test_forward_has_darknets_scattered_order(shape, stride, rng):
    x = drawn((2, *shape), rng)
    y = run(Reorg(stride=stride), x)[1]
    assert y.shape[1:] == (shape[0] * stride**2, shape[1] // stride, shape[2] // stride)
    for image, out in zip(x, y, strict=True):
        for to, where in darknet_order(*shape, stride):
            assert out.reshape(-1)[to] == image.reshape(-1)[where]
    check_layer(Reorg(stride=stride), shape)


@pytest.mark.parametrize(("shape", "stride"), [((4, 2, 3), 2), ((8, 1, 2), 2), ((9, 2, 2), 3)])
def test_reverse_has_darknets_order(shape, stride, rng):
    x = drawn((2, *shape), rng)
    layer = Reorg(stride=stride, reverse=True)
    y = run(layer, x)[1]
    assert y.shape[1:] == (shape[0] // stride**2, shape[1] * stride, shape[2] * stride)
    for image, out in zip(x, y, strict=True):
        for where, to in darknet_order(*shape, stride):
            assert out.reshape(-1)[to] == image.reshape(-1)[where]
    check_layer(layer, shape)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((6, 4, 4), "6 input channels; expected a multiple of 4"), ((4, 3, 4), "3 x 4 does not")],
)
def test_refuses_what_does_not_divide(shape, message):
    with pytest.raises(NetworkError, match=message):
        Reorg(stride=2).shape(Shape(*shape))
