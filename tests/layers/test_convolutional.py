import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.layers import LAYERS, Shape
from darkpy.layers.convolutional import Convolutional
from darkpy.network import Network
from darkpy.run import Tape
from tests.layers.gradient import DERIVABLE, check_layer, draw_params, drawn, run

CASES = [
    ({"filters": 3}, (2, 3, 4), (3, 4)),
    ({"filters": 2, "size": 3, "pad": True}, (3, 4, 5), (4, 5)),
    ({"filters": 2, "size": 3, "stride": 2, "pad": True}, (2, 5, 6), (3, 3)),
    ({"filters": 2, "size": 3, "stride": 2}, (2, 5, 6), (2, 2)),
    ({"filters": 2, "size": 2, "stride": 2}, (2, 4, 6), (2, 3)),
    ({"filters": 2, "size": 3, "padding": 2}, (1, 3, 4), (5, 6)),
    ({"filters": 2, "size": 1, "padding": 1, "dilation": 3}, (1, 3, 4), (5, 6)),
    ({"filters": 2, "size": 3, "pad": True, "padding": 5}, (1, 3, 4), (3, 4)),
    ({"filters": 4, "size": 3, "pad": True, "groups": 2}, (6, 3, 4), (3, 4)),
    ({"filters": 4, "size": 3, "pad": True, "groups": 4, "stride": 2}, (4, 5, 4), (3, 2)),
    ({"filters": 6, "groups": 3}, (3, 2, 2), (2, 2)),
    ({"filters": 2, "size": 3, "pad": True, "dilation": 2}, (2, 6, 5), (6, 5)),
    ({"filters": 2, "size": 3, "pad": True, "dilation": 3, "stride": 2}, (1, 7, 8), (4, 4)),
    ({"filters": 2, "dilation": 3}, (2, 3, 3), (3, 3)),
    ({"filters": 2, "size": 3, "pad": True, "stride_x": 2}, (2, 4, 5), (4, 3)),
    ({"filters": 2, "size": 3, "pad": True, "stride": 2, "stride_y": 3}, (2, 7, 4), (3, 2)),
    ({"filters": 1, "size": 5, "stride": 3, "pad": True}, (1, 2, 3), (1, 1)),
]


def by_loops(x, w, strides, border, dilation, groups):
    """Return the correlation of x (n, c, h, w) with w, output by output."""
    f, c, k = w.shape[:3]
    padded = np.pad(x, [(0, 0), (0, 0), (border, border), (border, border)])
    reach = dilation * (k - 1) + 1
    rows, cols = ((n - reach) // s + 1 for n, s in zip(padded.shape[2:], strides, strict=True))
    y = np.empty((len(x), f, rows, cols))
    for filter in range(f):
        first = filter // (f // groups) * c
        for i in range(rows):
            for j in range(cols):
                top, left = i * strides[0], j * strides[1]
                high = slice(top, top + reach, dilation)
                window = padded[:, first : first + c, high, left : left + reach : dilation]
                y[:, filter, i, j] = (window * w[filter]).sum((1, 2, 3))
    return y


def convolve(layer, x, w):
    strides = tuple(getattr(layer, f"stride_{axis}") or layer.stride for axis in "yx")
    dilation = layer.dilation if layer.size > 1 else 1
    border = (layer.size // 2 if layer.pad else layer.padding) * dilation
    return by_loops(x, w, strides, border, dilation, layer.groups)


@pytest.mark.parametrize(("keys", "shape", "sides"), CASES)
def test_forward_and_gradient(keys, shape, sides, rng):
    layer = Convolutional(activation="linear", **keys)
    params = draw_params(layer, [Shape(*shape)], rng)
    assert list(params) == ["biases", "weights"]
    x = drawn((2, *shape), rng)
    y = run(layer, x, params=params)[1]
    assert y.shape == (2, layer.filters, *sides)
    expected = convolve(layer, x, params["weights"]) + params["biases"][:, None, None]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)  # sums in another order
    check_layer(layer, shape)


@pytest.mark.parametrize("normalizes", ["batch_normalize", "cbn"])
def test_batch_normalization_stands_between_the_sum_and_the_bias(normalizes, rng):
    keys = {"filters": 4, "size": 3, "pad": True, normalizes: True, "activation": "linear"}
    layer = Convolutional(**keys)
    params = draw_params(layer, [Shape(2, 4, 3)], rng)
    assert list(params) == ["biases", "scales", "rolling_mean", "rolling_variance", "weights"]
    x = drawn((2, 2, 4, 3), rng)
    y = run(layer, x, params=params)[1]
    biases, scales, mean, variance = (list(params.values())[i][:, None, None] for i in range(4))
    plain = convolve(layer, x, params["weights"])
    expected = (plain - mean) / np.sqrt(variance + 1e-5) * scales + biases
    np.testing.assert_allclose(y, expected, rtol=1e-8, atol=1e-8)  # 1e-5 is a float32
    check_layer(layer, (2, 4, 3))


@pytest.mark.parametrize("batch_normalize", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation(activation, batch_normalize):
    layer = Convolutional(filters=3, activation=activation, batch_normalize=batch_normalize)
    check_layer(layer, (2, 3, 2))


KERNELS = {1: (np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16, 1), 2: (np.full((2, 2), 0.25), 0)}


@pytest.mark.parametrize(
    ("kind", "strides", "sides"),
    [(1, (2, 2), (3, 3)), (1, (2, 1), (3, 6)), (2, (2, 2), (3, 3)), (2, (2, 1), (3, 5))],
)
def test_antialiasing_strides_a_blur(kind, strides, sides, rng):
    keys = {"filters": 3, "size": 3, "pad": True, "stride_y": strides[0], "stride_x": strides[1]}
    layer = Convolutional(antialiasing=kind, activation="relu", **keys)
    params = draw_params(layer, [Shape(2, 6, 6)], rng)
    x = drawn((2, 2, 6, 6), rng)
    dense = by_loops(x, params["weights"], (1, 1), 1, 1, 1) + params["biases"][:, None, None]
    kernel, border = KERNELS[kind]
    each = np.broadcast_to(kernel, (3, 1, *kernel.shape))
    expected = by_loops(np.maximum(dense, 0), each, strides, border, 1, 3)
    y = run(layer, x, params=params)[1]
    assert y.shape == (2, 3, *sides)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    check_layer(layer, (2, 6, 6))


def binarized(w):
    """Return per filter the mean magnitude of its weights, with their signs."""
    return np.stack([np.where(one > 0, 1, -1) * np.abs(one).mean() for one in w])


def test_binary_weights(rng):
    keys = {"filters": 4, "size": 3, "pad": True, "groups": 2, "activation": "linear"}
    layer, plain = Convolutional(binary=True, **keys), Convolutional(**keys)
    params = draw_params(layer, [Shape(4, 4, 3)], rng)
    x = drawn((2, 4, 4, 3), rng)
    as_binary = {**params, "weights": binarized(params["weights"])}
    ctx, y = run(layer, x, params=params, train=True)
    other, expected = run(plain, x, params=as_binary, train=True)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    # Way back: straight through the signs (Courbariaux et al. 2016), as darknet does.
    dy = drawn(y.shape, rng)
    np.testing.assert_allclose(layer.backward(ctx, dy)[0], plain.backward(other, dy)[0], atol=1e-12)
    np.testing.assert_array_equal(ctx.grads["weights"], other.grads["weights"])
    check_layer(layer, (4, 4, 3), straight_through=True)


def test_xnor_takes_signs_of_the_input_too_and_has_one_group(rng):
    keys = {"filters": 4, "size": 3, "pad": True, "activation": "linear"}
    layer = Convolutional(xnor=True, groups=2, **keys)
    params = draw_params(layer, [Shape(4, 4, 3)], rng)
    assert params["weights"].shape == (4, 4, 3, 3)
    x = drawn((2, 4, 4, 3), rng)
    x[0, 0, 0, 0] = 0
    seen = np.where(x > 0, 1.0, -1.0)
    expected = by_loops(seen, binarized(params["weights"]), (1, 1), 1, 1, 1)
    expected += params["biases"][:, None, None]
    np.testing.assert_allclose(run(layer, x, params=params)[1], expected, rtol=1e-12, atol=1e-12)
    check_layer(layer, (4, 4, 3), straight_through=True)


@pytest.mark.parametrize(("link", "owner"), [(-2, 5), (3, 3), (0, 0)])
def test_share_index_is_relative_or_absolute(link, owner):
    assert Convolutional(share_index=link).share(7) == owner
    assert Convolutional().share(7) == 7


def test_sharing_layers_add_to_one_gradient(rng):
    keys = {"filters": 2, "size": 3, "pad": True, "activation": "tanh", "batch_normalize": True}
    layers = [Convolutional(**keys), Convolutional(**keys, share_index=-1)]
    network = Network.from_layers(layers, Shape(2, 4, 3))
    drawn_once = draw_params(layers[0], [Shape(2, 4, 3)], rng)
    x, dy = drawn((2, 2, 4, 3), rng), drawn((2, 2, 4, 3), rng)

    def forward():
        params = {name: value.copy() for name, value in drawn_once.items()}
        tape = Tape(network, [params, params], DERIVABLE, train=True)
        return tape, tape.forward(x)[1]

    tape, _ = forward()
    assert network.nodes[1].params == {} and network.nodes[1].owner == 0
    tape.backward({1: dy})
    assert tape.frames[0].grads is tape.frames[1].grads
    for name in ("biases", "scales", "weights"):
        gradient = tape.frames[0].grads[name]
        at = (0,) * gradient.ndim
        values = drawn_once[name]
        was = values[at]
        values[at] = was + 1e-5
        above = (forward()[1] * dy).sum()
        values[at] = was - 1e-5
        slope = (above - (forward()[1] * dy).sum()) / 2e-5
        values[at] = was
        np.testing.assert_allclose(gradient[at], slope, rtol=1e-6, atol=1e-7)


def test_flipped_weights_lie_transposed_in_the_file():
    assert Convolutional(flipped=True).transposed == ("weights",)
    assert Convolutional().transposed == ()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"filters": 4, "groups": 4}, "6 input channels do not divide into groups=4"),
        ({"filters": 4, "groups": 3}, "4 filters do not divide into groups=3"),
    ],
)
def test_refuses_groups_that_do_not_divide(keys, message):
    with pytest.raises(NetworkError, match=message):
        Convolutional(**keys).shape(Shape(6, 4, 4))


def test_a_window_larger_than_the_map_gives_nothing():
    with pytest.raises(NetworkError, match=r"layer 0 \[convolutional\]: puts out nothing"):
        Network.from_layers([Convolutional(size=5)], Shape(3, 4, 4))


def test_names():
    assert LAYERS["convolutional"] is LAYERS["conv"] is Convolutional
