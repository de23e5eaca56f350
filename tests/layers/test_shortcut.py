import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.layers import Shape
from darkpy.layers.shortcut import SHARES, Shortcut
from tests.layers.gradient import check_layer, drawn, run

# What is added has fewer or more channels, or maps larger or smaller by a whole ratio.
SHAPES = [
    [(3, 4, 4), (3, 4, 4)],
    [(3, 2, 4), (3, 2, 4), (3, 2, 4)],
    [(4, 3, 2), (2, 3, 2)],
    [(2, 3, 2), (4, 3, 2), (1, 3, 2)],
    [(2, 2, 3), (2, 4, 6)],
    [(2, 2, 2), (1, 5, 5)],
    [(1, 4, 6), (2, 2, 3)],
    [(1, 3, 3), (1, 2, 2)],
]


def by_loops(weights, xs):
    """Add as darknet's shortcut_cpu does; weights (maps, channels) or (maps, 1)."""
    x, *adds = xs
    c, h, w = x.shape[1:]
    y = np.stack([x[:, k] * weights[0][k % len(weights[0])] for k in range(c)], 1)
    for add, row in zip(adds, weights[1:], strict=True):
        stride, sample = max(1, add.shape[3] // w), max(1, w // add.shape[3])
        for k in range(min(c, add.shape[1])):
            for j in range(min(h, add.shape[2])):
                for i in range(min(w, add.shape[3])):
                    part = add[:, k, j * stride, i * stride]
                    y[:, k, j * sample, i * sample] += part * row[k % len(row)]
    return y


def links(count):
    return tuple(range(-2, -2 - count, -1))


@pytest.mark.parametrize("shapes", SHAPES)
def test_sum(shapes, rng):
    layer = Shortcut(from_=links(len(shapes) - 1))
    xs = [drawn((2, *shape), rng) for shape in shapes]
    expected = by_loops([[1]] * len(xs), xs)
    np.testing.assert_allclose(run(layer, *xs)[1], expected, rtol=1e-12)  # sums in another order
    assert layer.params(*(Shape(*shape) for shape in shapes)) == {}
    check_layer(layer, *shapes)


@pytest.mark.parametrize("kind", ["per_feature", "per_layer", "per_channel"])
@pytest.mark.parametrize("shapes", SHAPES[:6])
def test_weighted_sum(shapes, kind, rng):
    layer = Shortcut(from_=links(len(shapes) - 1), weights_type=kind)
    count = shapes[0][0] if kind == "per_channel" else 1
    want = (1, len(shapes), count, 1)
    assert layer.params(*(Shape(*shape) for shape in shapes)) == {"weights": want}
    w, xs = drawn(want, rng), [drawn((2, *shape), rng) for shape in shapes]
    y = run(layer, *xs, params={"weights": w})[1]
    np.testing.assert_allclose(y, by_loops(w[0, :, :, 0], xs), rtol=1e-12, atol=1e-12)
    check_layer(layer, *shapes)


def test_weights_begin_at_one(rng):
    layer = Shortcut(from_=(-2,), weights_type="per_channel")
    start = layer.initial("weights", (1, 2, 3, 1), rng)
    np.testing.assert_array_equal(start, np.ones((1, 2, 3, 1), np.float32))


@pytest.mark.parametrize("kind", ["per_feature", "per_channel"])
@pytest.mark.parametrize("normalization", SHARES)
def test_shares_of_the_weights(kind, normalization, rng):
    shapes = [(3, 2, 2)] * 3
    layer = Shortcut(from_=(-2, -3), weights_type=kind, weights_normalization=normalization)
    (shape,) = layer.params(*(Shape(*one) for one in shapes)).values()
    w, xs = drawn(shape, rng), [drawn((2, *shape), rng) for shape in shapes]
    shares = w[0, :, :, 0]
    if "relu" in normalization:
        shares = np.maximum(shares, 0) / (1e-4 + np.maximum(shares, 0).sum(0))
    if normalization == "softmax":
        parts = np.exp(shares - shares.max(0))
        shares = parts / (1e-4 + parts.sum(0))
    y = run(layer, *xs, params={"weights": w})[1]
    # 1e-4 is a float32 in the program
    np.testing.assert_allclose(y, by_loops(shares, xs), rtol=1e-9, atol=1e-9)
    check_layer(layer, *shapes)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation):
    check_layer(Shortcut(from_=(-2,), activation=activation), (3, 2, 2), (3, 2, 2))


def test_links_are_relative_or_absolute():
    assert Shortcut(from_=(-3, 2)).inputs(10) == (9, 7, 2)


def test_refuses_to_add_nothing():
    with pytest.raises(NetworkError, match="has no from="):
        Shortcut().inputs(4)


def test_refuses_maps_of_another_proportion():
    with pytest.raises(NetworkError, match="layer -2 is 8x8x2, the one before 8x4x4"):
        Shortcut(from_=(-2,)).shape(Shape(8, 4, 4), Shape(8, 8, 2))
