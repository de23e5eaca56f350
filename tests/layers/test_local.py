import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.layers import Shape
from darkpy.layers.local import Local
from tests.layers.gradient import check_layer, draw_params, drawn, run

CASES = [
    ({"filters": 2, "size": 3, "pad": 1}, (2, 3, 4)),
    ({"filters": 3, "size": 3, "stride": 2, "pad": 1}, (2, 5, 4)),
    ({"filters": 2, "size": 2, "stride": 2}, (1, 4, 5)),
    ({"filters": 2, "size": 5, "pad": 2}, (1, 3, 3)),
    ({"filters": 3, "size": 1}, (2, 2, 2)),
    ({"filters": 2, "size": 4}, (2, 4, 4)),
]


def by_loops(x, w, b, stride, pad):
    """Return the product of each window with the weights of its place, place by place."""
    rows, cols, f, _, k, _ = w.shape
    padded = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    y = np.empty((len(x), f, rows, cols))
    for i in range(rows):
        for j in range(cols):
            window = padded[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            for filter in range(f):
                products = window * w[i, j, filter]
                y[:, filter, i, j] = products.sum((1, 2, 3)) + b[filter, i, j]
    return y


@pytest.mark.parametrize(("keys", "shape"), CASES)
def test_forward_and_gradient(keys, shape, rng):
    layer = Local(activation="linear", **keys)
    params = draw_params(layer, [Shape(*shape)], rng)
    x = drawn((2, *shape), rng)
    y = run(layer, x, params=params)[1]
    expected = by_loops(x, params["weights"], params["biases"], layer.stride, layer.pad)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)  # sums in another order
    check_layer(layer, shape)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    check_layer(Local(filters=2, size=2, activation=activation), (1, 3, 3))


def test_parameters_in_file_order():
    params = Local(filters=4, size=3, pad=1).params(Shape(2, 5, 6))
    assert list(params.items()) == [("biases", (4, 5, 6)), ("weights", (5, 6, 4, 2, 3, 3))]


def test_every_place_is_drawn(rng):
    layer = Local(filters=4, size=3)
    w = layer.initial("weights", (2, 2, 4, 8, 3, 3), rng)
    assert w.std((2, 3, 4, 5)).min() > 0.08  # sqrt(2 / 72) / sqrt(3) = .096, of 288 numbers
    assert not layer.initial("biases", (4, 2, 2), rng).any()


def test_refuses_a_padding_that_does_not_keep_the_size():
    with pytest.raises(NetworkError, match="pad=1 with size=5: expected pad=2, half the size"):
        Local(size=5, pad=1).shape(Shape(1, 8, 8))
