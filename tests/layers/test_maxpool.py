import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.layers import Shape
from darkpy.layers.maxpool import Maxpool
from tests.layers.gradient import check_layer, drawn, run

POOLS = [
    ({"size": 2, "stride": 2}, (3, 6, 6), (3, 3)),
    ({"size": 2, "stride": 2}, (2, 5, 7), (3, 4)),
    ({"size": 2, "stride": 1}, (2, 4, 5), (4, 5)),
    ({"size": 5, "stride": 1}, (2, 4, 6), (4, 6)),
    ({"size": 3, "stride": 2}, (2, 7, 7), (4, 4)),
    ({"size": 3, "stride": 2, "padding": 0}, (2, 7, 8), (3, 3)),
    ({"size": 2, "stride": 2, "padding": 1}, (2, 6, 6), (3, 3)),
    ({"size": 3, "stride_x": 1, "stride_y": 2}, (2, 5, 4), (3, 4)),
    ({"stride": 3}, (1, 7, 6), (3, 2)),
    ({"size": 9, "stride": 1}, (1, 3, 2), (3, 2)),
]


def by_loops(x, size, strides, padding):
    """Return darknet's maxpool of x (n, c, h, w), window by window."""
    n, c, h, w = x.shape
    rows, cols = ((d + padding - size) // s + 1 for d, s in zip((h, w), strides, strict=True))
    y = np.empty((n, c, rows, cols))
    for i in range(rows):
        for j in range(cols):
            top, left = (at * s - padding // 2 for at, s in zip((i, j), strides, strict=True))
            high = slice(max(0, top), max(0, top + size))
            wide = slice(max(0, left), max(0, left + size))
            y[:, :, i, j] = x[:, :, high, wide].max((2, 3))
    return y


@pytest.mark.parametrize(("keys", "shape", "sides"), POOLS)
def test_forward_and_gradient(keys, shape, sides, rng):
    layer = Maxpool(**keys)
    x = drawn((2, *shape), rng)
    y = run(layer, x)[1]
    assert y.shape == (2, shape[0], *sides)
    size = keys.get("size", keys.get("stride"))
    strides = tuple(keys.get(f"stride_{axis}", keys.get("stride")) for axis in "yx")
    np.testing.assert_array_equal(y, by_loops(x, size, strides, keys.get("padding", size - 1)))
    check_layer(layer, shape)


def test_of_equal_cells_the_first_in_the_window_has_the_gradient():
    layer = Maxpool(size=2, stride=2)
    ctx, y = run(layer, np.ones((1, 1, 4, 4)), train=True)
    (dx,) = layer.backward(ctx, np.full(y.shape, 2.0))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 2
    np.testing.assert_array_equal(dx[0, 0], expected)


def test_windows_wholly_in_the_padding_give_darknets_least_number():
    x = np.ones((1, 1, 2, 2), np.float32)
    layer = Maxpool(size=1, stride=1, padding=4)
    ctx, y = run(layer, x, train=True)
    least = np.finfo(np.float32).min
    expected = np.full((6, 6), least)
    expected[2:4, 2:4] = 1
    np.testing.assert_array_equal(y[0, 0], expected)
    np.testing.assert_array_equal(layer.backward(ctx, np.ones_like(y))[0], x)


def test_a_window_far_larger_than_the_map_is_no_work(rng):
    x = drawn((1, 2, 3, 4), rng)
    y = run(Maxpool(size=200_000_001, stride=1), x)[1]
    np.testing.assert_array_equal(y, np.broadcast_to(x.max((2, 3), keepdims=True), x.shape))


@pytest.mark.parametrize(("channels", "out"), [(6, 2), (7, 3), (4, 4), (5, 1)])
def test_depth_takes_the_largest_of_every_so_many_channels(channels, out, rng):
    layer = Maxpool(maxpool_depth=True, out_channels=out)
    x = drawn((2, channels, 3, 2), rng)
    expected = np.stack([x[:, g::out].max(1) for g in range(out)], 1)
    np.testing.assert_array_equal(run(layer, x)[1], expected)
    check_layer(layer, x.shape[1:])


def test_depth_gives_the_first_of_equal_channels_the_gradient():
    layer = Maxpool(maxpool_depth=True, out_channels=2)
    ctx, y = run(layer, np.ones((1, 5, 1, 1)), train=True)
    (dx,) = layer.backward(ctx, np.ones_like(y))
    assert dx.reshape(-1).tolist() == [1, 1, 0, 0, 0]


KERNELS = {1: (np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16, 1), 2: (np.full((2, 2), 0.25), 0)}


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("strides", [(2, 2), (2, 1), (3, 3)])
def test_antialiasing_pools_at_stride_1_and_strides_a_blur(kind, strides, rng):
    layer = Maxpool(size=2, stride_y=strides[0], stride_x=strides[1], antialiasing=kind)
    x = drawn((2, 3, 6, 7), rng)
    kernel, border = KERNELS[kind]
    pooled = np.pad(by_loops(x, 2, (1, 1), 1), [(0, 0), (0, 0), (border, border), (border, border)])
    side = len(kernel)
    rows, cols = ((n - side) // s + 1 for n, s in zip(pooled.shape[2:], strides, strict=True))
    expected = np.empty((2, 3, rows, cols))
    for i in range(rows):
        for j in range(cols):
            top, left = i * strides[0], j * strides[1]
            window = pooled[:, :, top : top + side, left : left + side]
            expected[:, :, i, j] = (window * kernel).sum((2, 3))
    np.testing.assert_allclose(run(layer, x)[1], expected, rtol=1e-12)
    check_layer(layer, x.shape[1:])


def test_zero_nonmax_keeps_what_is_the_largest_of_its_own_window(rng):
    layer = Maxpool(size=3, stride=1, maxpool_zero_nonmax=True)
    x = drawn((2, 2, 5, 6), rng)
    largest = by_loops(x, 3, (1, 1), 2)
    np.testing.assert_array_equal(run(layer, x)[1], np.where(x == largest, x, 0))
    check_layer(layer, x.shape[1:])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"maxpool_depth": True, "out_channels": 5}, "at most the 4 channels"),
        ({"maxpool_depth": True, "antialiasing": 1}, "without antialiasing"),
        ({"size": 2, "stride": 2, "maxpool_zero_nonmax": True}, "keeps the shape"),
    ],
)
def test_refuses(keys, message):
    with pytest.raises(NetworkError, match=message):
        Maxpool(**keys).shape(Shape(4, 6, 6))
