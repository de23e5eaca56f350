"""Batch normalisation over blocked maps agrees with the reference in double precision."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import normalize
from tests.kernels.engine import maps

REFERENCE = ops("reference")
SHAPES = [(1, 16, 5, 7), (3, 21, 6, 9), (2, 40, 31, 33), (1, 3, 1, 1), (2, 17, 2, 300)]


def held(x, border=1):
    """Return x as a blocked map that is a range of a wider buffer."""
    n, c, h, w = x.shape
    return maps.blocked(n, c + 32, h, w, border).range(16, c).put(x)


class Vectors:
    """Float32 (c,) arrays between guards, by name."""

    def __init__(self, c, **values):
        for name, value in values.items():
            setattr(self, name, guarded(c, value))

    def address(self, *names):
        return [getattr(self, name)[4:].ctypes.data for name in names]

    def get(self, name):
        array = getattr(self, name)
        assert (array[:4] == maps.MARK).all() and (array[-4:] == maps.MARK).all()
        return array[4:-4]


def guarded(c, value):
    array = np.full(c + 8, maps.MARK, np.float32)
    array[4:-4] = value
    return array


def draw(shape, mean=0.0):
    rng = np.random.default_rng(sum(shape))
    c = shape[1]
    x = (rng.standard_normal(shape) + mean).astype(np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    numbers = Vectors(
        c,
        mean=0,
        variance=0,
        dscales=0,
        dbiases=0,
        scales=rng.uniform(0.5, 1.5, c),
        biases=rng.standard_normal(c),
    )
    return x, dy, numbers


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("mean", [0, 3, 1000])
def test_statistics(shape, mean):
    x, _, v = draw(shape, mean)
    y = held(x)
    rows = normalize.statistics(y.map, *v.address("mean", "variance"))
    maps.execute(rows)
    expected = REFERENCE.batch_statistics(x.astype(float))
    np.testing.assert_allclose(v.get("mean"), expected[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(v.get("variance"), expected[1], rtol=1e-6, atol=1e-12)
    first = v.get("variance").copy()
    maps.execute(rows, threads=1)
    np.testing.assert_array_equal(v.get("variance"), first)


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
@pytest.mark.parametrize("activation", ["linear", "leaky", "mish"])
def test_normalize_there_and_back(shape, activation):
    x, dout, v = draw(shape, 2)
    known = [each.astype(float) for each in (v.get("scales"), v.get("biases"))]
    x64, dout64 = x.astype(float), dout.astype(float)
    mean, variance = REFERENCE.batch_statistics(x64)
    z = REFERENCE.batchnorm(x64, *known, mean, variance)
    y, out, back, dy = held(x), held(x * 0), held(dout, 2), held(x * 0)
    names = ("mean", "variance", "scales", "biases")
    maps.execute(
        normalize.statistics(y.map, *v.address(*names[:2]))
        + normalize.normalize(y.map, out.map, *v.address(*names), activation=activation)
    )
    # of z, some float32 roundings of numbers up to a few units
    np.testing.assert_allclose(out.get(), REFERENCE.activate(z, activation), rtol=0, atol=4e-6)
    names = (*names, "dscales", "dbiases")
    rows = normalize.normalize_grad(
        back.map, y.map, dy.map, *v.address(*names), activation=activation
    )
    maps.execute(rows)
    dz = REFERENCE.activate_grad(dout64, z, activation)
    dx, dscales, dbiases = REFERENCE.batchnorm_grad(dz, x64, known[0], mean, variance)
    # a value next to a kink of leaky may fall to the other side of it: none does here
    np.testing.assert_allclose(dy.get(), dx, rtol=0, atol=1e-5)
    scale = np.sqrt(dz[:, 0].size)
    np.testing.assert_allclose(v.get("dscales"), dscales, rtol=0, atol=2e-6 * scale)
    np.testing.assert_allclose(v.get("dbiases"), dbiases, rtol=0, atol=2e-6 * scale)
    for each in (y, out, back, dy):
        each.check()
    maps.execute(
        normalize.normalize_grad(
            back.map, y.map, back.map, *v.address(*names), activation=activation
        ),
        threads=1,
    )
    np.testing.assert_array_equal(back.get(), dy.get())


@pytest.mark.parametrize("shape", SHAPES[:3], ids=str)
@pytest.mark.parametrize("activation", ["linear", "logistic"])
def test_bias_grad(shape, activation):
    x, dout, v = draw(shape)
    z, back, dz = held(x), held(dout, 2), held(x * 0)
    (to,) = v.address("dbiases")
    given = (None, None) if activation == "linear" else (z.map, dz.map)
    maps.execute(normalize.bias_grad(back.map, *given, to, activation=activation))
    expected = REFERENCE.activate_grad(dout.astype(float), x.astype(float), activation)
    if activation != "linear":
        np.testing.assert_allclose(dz.get(), expected, rtol=0, atol=1e-6)
        dz.check()
    np.testing.assert_allclose(v.get("dbiases"), expected.sum((0, 2, 3)), rtol=0, atol=5e-5)


@pytest.mark.parametrize("shape", [(1, 16, 2, 6), (3, 21, 6, 10), (2, 40, 32, 34)], ids=str)
@pytest.mark.parametrize("activation", ["linear", "leaky", "mish"])
def test_normalize_and_pool_there_and_back(shape, activation):
    h, w = shape[2:]
    pool = {"size": 2, "stride": (2, 2), "padding": 1}
    x, dout, v = draw(shape, 2)
    x[0, 0, :2, :2] = x[0, 0, 0, 0]  # of equal cells the first has all
    dout = dout[:, :, : h // 2, : w // 2]
    known = [each.astype(float) for each in (v.get("scales"), v.get("biases"))]
    x64 = x.astype(float)
    mean, variance = REFERENCE.batch_statistics(x64)
    z = REFERENCE.batchnorm(x64, *known, mean, variance)
    whole = REFERENCE.activate(z, activation)
    pooled = REFERENCE.maxpool(whole, **pool)
    y, out, back = held(x), held(pooled * 0), held(dout, 2)
    names = ("mean", "variance", "scales", "biases", "dscales", "dbiases")
    maps.execute(
        normalize.statistics(y.map, *v.address(*names[:2]))
        + normalize.normalize(
            y.map, out.map, *v.address(*names[:4]), activation=activation, pool=True
        )
    )
    np.testing.assert_allclose(out.get(), pooled, rtol=0, atol=4e-6)
    rows = normalize.normalize_grad(
        back.map, y.map, y.map, *v.address(*names), activation=activation, pool=True
    )
    maps.execute(rows)  # dy where y was
    dpool = REFERENCE.maxpool_grad(dout.astype(float), whole, pooled, **pool)
    dz = REFERENCE.activate_grad(dpool, z, activation)
    dx, dscales, dbiases = REFERENCE.batchnorm_grad(dz, x64, known[0], mean, variance)
    np.testing.assert_allclose(y.get(), dx, rtol=0, atol=1e-5)
    scale = np.sqrt(dz[:, 0].size)
    np.testing.assert_allclose(v.get("dscales"), dscales, rtol=0, atol=2e-6 * scale)
    np.testing.assert_allclose(v.get("dbiases"), dbiases, rtol=0, atol=2e-6 * scale)
    for each in (y, out, back):
        each.check()


def test_rolling_averages_follow():
    _, _, v = draw((1, 21, 2, 2))
    batch = v.get("scales").copy()
    want = v.get("biases").copy()
    REFERENCE.roll_average(want, batch)
    maps.execute(normalize.roll_average(*v.address("biases", "scales"), 21))
    np.testing.assert_allclose(v.get("biases"), want, rtol=1e-6, atol=1e-8)
