import numpy as np
import pytest

from darkpy.layers.local_avgpool import LocalAvgpool
from tests.layers.gradient import check_layer, drawn, run
from tests.layers.test_maxpool import POOLS


def by_loops(x, size, strides, padding):
    """Return the mean of the cells that each window has, window by window."""
    n, c, h, w = x.shape
    rows, cols = ((d + padding - size) // s + 1 for d, s in zip((h, w), strides, strict=True))
    y = np.empty((n, c, rows, cols))
    for i in range(rows):
        for j in range(cols):
            total, count = 0, 0
            for a in range(size):
                for b in range(size):
                    row = i * strides[0] - padding // 2 + a
                    col = j * strides[1] - padding // 2 + b
                    if 0 <= row < h and 0 <= col < w:
                        total, count = total + x[:, :, row, col], count + 1
            y[:, :, i, j] = total / count
    return y


@pytest.mark.parametrize(("keys", "shape", "sides"), POOLS)
def test_forward_and_gradient(keys, shape, sides, rng):
    layer = LocalAvgpool(**keys)
    x = drawn((2, *shape), rng)
    y = run(layer, x)[1]
    assert y.shape == (2, shape[0], *sides)
    size = keys.get("size", keys.get("stride"))
    strides = tuple(keys.get(f"stride_{axis}", keys.get("stride")) for axis in "yx")
    expected = by_loops(x, size, strides, keys.get("padding", size - 1))
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)  # sums in another order
    check_layer(layer, shape)


def test_windows_wholly_in_the_padding_are_zero():
    y = run(LocalAvgpool(size=1, stride=1, padding=4), np.ones((1, 1, 2, 2)))[1]
    assert y.sum() == 4 and y[0, 0, 2:4, 2:4].sum() == 4
