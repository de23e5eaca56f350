"""Pools over blocked maps, against the reference: the largest values exactly."""

from itertools import product

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import pool
from tests.kernels.engine.maps import blocked, execute

reference = ops("reference")

# (h, w), size, (stride of rows, of columns), padding
WINDOWS = [
    ((9, 12), 2, (2, 2), 1),
    ((8, 6), 2, (2, 2), 0),
    ((9, 13), 2, (1, 1), 1),
    ((9, 12), 3, (2, 2), 2),
    ((9, 12), 3, (2, 2), 1),
    ((9, 12), 3, (1, 1), 0),
    ((13, 13), 5, (1, 1), 4),
    ((13, 13), 13, (1, 1), 12),
    ((4, 3), 9, (1, 1), 8),
    ((9, 12), 3, (5, 7), 1),
    ((9, 12), 2, (1, 2), 1),
    ((9, 12), 2, (2, 1), 1),
    ((1, 1), 5, (1, 1), 4),
    ((3, 1), 40, (3, 3), 39),
    ((5, 40), 2, (2, 2), 1),
    ((6, 6), 1, (2, 2), 0),
    ((2, 2), 1, (1, 1), 6),  # windows outside the map
]
SHAPES = [(n, c, *window) for (n, c), window in product([(1, 16), (2, 21)], WINDOWS)]


def drawn(shape, seed=0, whole=False):
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return np.round(x) if whole else x


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_largest_of_windows(shape):
    n, c, (h, w), size, stride, padding = shape
    x = blocked(n, c, h, w, border=1).put(drawn((n, c, h, w)) - 3)
    numbers = {"size": size, "stride": stride, "padding": padding}
    want = reference.maxpool(x.get(), **numbers)
    wide = blocked(n, 48, *want.shape[2:], border=(1, 1, 0, 2))
    y = wide.range(16, c)
    execute(pool.maxpool(x.map, y.map, **numbers))
    np.testing.assert_array_equal(y.get(), want)
    assert not wide.array[:, 0].any()
    wide.check()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient_goes_to_the_first_of_the_largest(shape):
    n, c, (h, w), size, stride, padding = shape
    x = blocked(n, c, h, w, border=1).put(drawn((n, c, h, w), whole=True))
    numbers = {"size": size, "stride": stride, "padding": padding}
    value = reference.maxpool(x.get(), **numbers)
    y = blocked(*value.shape).put(value)
    dy = blocked(*value.shape, border=2).put(drawn(value.shape, 1, whole=True))
    dx = blocked(n, c, h, w, border=1, fill=5)
    execute(pool.maxpool_grad(dy.map, x.map, y.map, dx.map, **numbers))
    want = reference.maxpool_grad(dy.get(), x.get(), value, **numbers)
    np.testing.assert_array_equal(dx.get(), want)  # sums of whole numbers
    dx.check()


def test_rows_in_many_bands():
    x = blocked(1, 16, 200, 120, border=1).put(drawn((1, 16, 200, 120), whole=True))
    y, dx = blocked(1, 16, 100, 60), blocked(1, 16, 200, 120, border=1, fill=3)
    numbers = {"size": 2, "stride": (2, 2), "padding": 1}
    execute(pool.maxpool(x.map, y.map, **numbers))
    np.testing.assert_array_equal(y.get(), reference.maxpool(x.get(), **numbers))
    dy = blocked(1, 16, 100, 60).put(drawn((1, 16, 100, 60), 1))
    execute(pool.maxpool_grad(dy.map, x.map, y.map, dx.map, **numbers))
    want = reference.maxpool_grad(dy.get(), x.get(), y.get(), **numbers)
    np.testing.assert_array_equal(dx.get(), want)
    dx.check()


def test_pyramid():
    x = blocked(1, 40, 13, 13, border=1).put(drawn((1, 40, 13, 13)))
    wide = blocked(1, 160, 13, 13, border=1)
    ys = [wide.range(start, 40) for start in (0, 48, 96)]
    execute(pool.spp(x.map, [y.map for y in ys], (5, 9, 13)))
    for y, size in zip(ys, (5, 9, 13), strict=True):
        want = reference.maxpool(x.get(), size=size, stride=(1, 1), padding=size - 1)
        np.testing.assert_array_equal(y.get(), want)
    wide.check()


def test_mean_of_planes():
    x = blocked(2, 21, 17, 30, border=1).put(drawn((2, 21, 17, 30)) + 5)
    y, dx = blocked(2, 21, 1, 1, border=1), blocked(2, 21, 17, 30, border=2, fill=1)
    execute(pool.avgpool(x.map, y.map))
    # sums of 510 float32, row by row
    np.testing.assert_allclose(y.get(), reference.avgpool(x.get().astype(float)), rtol=1e-6)
    execute(pool.avgpool_grad(y.map, dx.map))
    np.testing.assert_allclose(
        dx.get(), reference.avgpool_grad(y.get(), shape=(2, 21, 17, 30)), rtol=1e-7
    )
    y.check()
    dx.check()
