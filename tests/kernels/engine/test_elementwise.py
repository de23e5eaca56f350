"""Sums, products, activations and copies over maps, against the reference."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.kernels.cpu.engine import elementwise
from darkpy.kernels.cpu.engine.packing import aligned
from tests.kernels.engine.maps import blocked, execute, planar

reference = ops("reference")
SIMPLE = sorted({row.name for row in ACTIVATIONS.values() if not row.over_channels})
SHAPES = [(1, 16, 4, 5), (2, 21, 7, 19), (3, 40, 1, 1)]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def near(got, want):
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)  # a few roundings of float32


@pytest.mark.parametrize("make", [blocked, planar])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums_of_any_number_of_maps(make, shape):
    maps = [make(*shape, border=i % 3).put(drawn(shape, i)) for i in range(6)]
    for count in (1, 2, 3, 4, 6):
        y = make(*shape, border=(0, 2, 1, 0), fill=3)
        execute(elementwise.add(*(one.map for one in maps[:count]), y.map, activation="leaky"))
        total = sum(one.get().astype(float) for one in maps[:count])
        near(y.get(), reference.activate(total, "leaky"))
        y.check()


@pytest.mark.parametrize("name", SIMPLE)
def test_activations(name):
    x = blocked(1, 20, 3, 6).put(drawn((1, 20, 3, 6)) * 4)
    execute(elementwise.activate(x.map, x.map, name))  # in place
    near(x.get(), reference.activate(drawn((1, 20, 3, 6)).astype(float) * 4, name))


@pytest.mark.parametrize("name", SIMPLE)
def test_gradients_of_activations(name):
    dy, z = (blocked(1, 20, 3, 6, border=i).put(drawn((1, 20, 3, 6), i) * 4) for i in (1, 0))
    execute(elementwise.activate_grad(dy.map, z.map, dy.map, name))  # in place
    want = [drawn((1, 20, 3, 6), i).astype(float) * 4 for i in (1, 0)]
    want = reference.activate_grad(*want, name)
    # a slope near 0 may be a difference of numbers near 1; dy is up to a dozen
    np.testing.assert_allclose(dy.get(), want, rtol=2e-6, atol=1e-5)
    dy.check()


def test_what_is_beyond_the_channels_is_cleared():
    y = blocked(2, 21, 3, 4, border=1, fill=3)
    execute(elementwise.clear_rest(y.map))
    assert (y.get()[:, :16] == 3).all() and not y.array[:, 1].any()
    assert elementwise.clear_rest(y.range(0, 16).map) == []


@pytest.mark.parametrize("make", [blocked, planar])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bias(make, shape):
    x, y = make(*shape, border=1).put(drawn(shape)), make(*shape, border=2)
    b = aligned((48,))
    b[: shape[1]] = drawn(shape[1], 1)
    execute(elementwise.bias(x.map, b.ctypes.data, y.map, "relu"))
    want = x.get().astype(float) + b[: shape[1], None, None]
    near(y.get(), reference.activate(want, "relu"))
    y.check()


@pytest.mark.parametrize("make", [blocked, planar])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products(make, shape):
    x, by = (make(*shape, border=i).put(drawn(shape, i)) for i in range(2))
    y = make(*shape, border=2)
    execute(elementwise.multiply(x.map, by.map, y.map, "logistic"))
    want = reference.activate(x.get().astype(float) * by.get(), "logistic")
    near(y.get(), want)
    y.check()


@pytest.mark.parametrize("make", [blocked, planar])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_with_a_number_a_channel(make, shape):
    x, y = make(*shape, border=1).put(drawn(shape)), make(*shape, border=2)
    by = make(*shape[:2], 1, 1, border=1).put(drawn((*shape[:2], 1, 1), 1))
    execute(elementwise.multiply(x.map, by.map, y.map))
    near(y.get(), x.get().astype(float) * by.get())
    y.check()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradient_of_a_number_a_channel(shape):
    x, y = (blocked(*shape, border=i).put(drawn(shape, i)) for i in range(2))
    dby = blocked(*shape[:2], 1, 1, border=1)
    execute(elementwise.multiply_grad(y.map, x.map, dby.map))
    want = reference.multiply_grad(y.get().astype(float), x.get().astype(float), dby.get())[1]
    near(dby.get(), want)
    dby.check()


@pytest.mark.parametrize(
    "x_start, y_start, count",
    [
        (0, 0, None), (16, 32, 20), (0, 16, 40), (3, 0, 30), (0, 5, 30), (7, 7, 9), (20, 4, 16),
        (1, 2, 1), (5, 40, 37), (30, 47, 3), (0, 32, 16), (0, 32, 17),
    ],
)  # fmt: skip
def test_copies_of_any_channels(x_start, y_start, count):
    x = blocked(2, 42, 5, 6, border=1).put(drawn((2, 42, 5, 6)))
    y = blocked(2, 90, 5, 6, border=2).put(drawn((2, 90, 5, 6), 1))
    want = y.get()
    taken = x.get()[:, x_start:][:, :count]
    want[:, y_start : y_start + taken.shape[1]] = taken
    execute(elementwise.copy(x.map, y.map, x_start=x_start, y_start=y_start, count=count))
    np.testing.assert_array_equal(y.get(), want)
    y.check()


@pytest.mark.parametrize("width", [1, 7, 15, 16, 17, 33])
def test_copies_of_planar_maps(width):
    x = planar(2, 3, 5, width).put(drawn((2, 3, 5, width)))
    y = planar(2, 3, 5, width, border=(1, 2, 3, 0))
    execute(elementwise.copy(x.map, y.map))
    np.testing.assert_array_equal(y.get(), x.get())
    y.check()


@pytest.mark.parametrize("make", [blocked, planar])
def test_border_of_zeros(make):
    y = make(2, 21, 4, 5, border=(1, 2, 0, 3), fill=2)
    y.array[...] = 2
    execute(elementwise.zero_border(y.map))
    assert (y.get() == 2).all()
    y.check()
    assert elementwise.zero_border(make(1, 3, 2, 2).map) == []


def test_fill():
    y = blocked(2, 21, 4, 5, border=1)
    execute(elementwise.fill(y.map, 1.5))
    assert (y.get() == 1.5).all()
    y.check()
