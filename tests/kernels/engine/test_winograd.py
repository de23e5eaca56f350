"""Winograd's convolution, its weights and the data gradient, against the reference in float64."""

from fractions import Fraction

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import winograd
from darkpy.kernels.cpu.engine.emit.winograd import matrices
from darkpy.kernels.cpu.engine.packing import aligned
from tests.kernels.engine.maps import blocked, execute
from tests.kernels.engine.spills import TARGETS, assembly, spills

# Largest errors, of the largest output: m = 2 only adds; the others multiply by powers of points,
# m = 4 by the least of them
TOLERANCE = {2: 1e-6, 3: 1e-5, 4: 1e-5, 5: 3e-5, 6: 4e-5}
reference = ops("reference")

# n, c, f, h, w, tiles, shares
SHAPES = [
    (1, 16, 16, 12, 12, 13, 1),
    (1, 37, 50, 13, 13, 7, 1),
    (2, 20, 33, 9, 26, 11, 1),
    (3, 70, 48, 7, 5, 9, 2),
    (2, 33, 70, 10, 11, 6, 3),
    (1, 1, 1, 1, 1, 13, 1),
    (1, 5, 7, 2, 31, 100, 2),
]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def weights(f, c, m, turned=False, stride=1):
    """Return weights (f, c, 3, 3), and them packed."""
    w = drawn((f, c, 3, 3), 1) / np.float32(3 * np.sqrt(c))
    packed = aligned(winograd.packed_shape((c, f, 3, 3) if turned else w.shape, m, stride))
    packed[...] = np.nan  # what was there does not matter
    execute(winograd.pack(w.ctypes.data, w.shape, packed, m=m, turned=turned, stride=stride))
    return w, packed


def biases(f):
    whole = aligned(-(-f // 16) * 16)
    whole[:f] = drawn(f, 2)
    return whole


def truth(x, w, b=None, activation="linear", stride=1):
    y = reference.conv2d(x.astype(float), w.astype(float), stride=(stride, stride), padding=1)
    y = y if b is None else reference.bias(y, b.astype(float))
    return reference.activate(y, activation)


def near(got, want, m):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= TOLERANCE[m] * np.abs(want).max()


@pytest.mark.parametrize("m", TOLERANCE)
def test_matrices_are_exact(m):
    output, kernel, cells = matrices(m)
    w, x = [Fraction(3), Fraction(-5), Fraction(7)], [Fraction(i * i - 4) for i in range(m + 2)]
    places = [sum(map(Fraction.__mul__, g, w)) * sum(map(Fraction.__mul__, b, x)) for g, b in
              zip(kernel, cells, strict=True)]  # fmt: skip
    y = [sum(map(Fraction.__mul__, row, places)) for row in output]
    assert y == [w[0] * x[i] + w[1] * x[i + 1] + w[2] * x[i + 2] for i in range(m)]
    for row in (*output, *cells):
        assert all(Fraction(float(np.float32(one))) == one for one in row)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_matrices_of_stride_two_are_exact(m):
    output, kernel, cells = matrices(m, 2)
    w, x = (
        [Fraction(3), Fraction(-5), Fraction(7)],
        [Fraction(i * i * i - 4) for i in range(2 * m + 1)],
    )
    places = [sum(map(Fraction.__mul__, g, w)) * sum(map(Fraction.__mul__, b, x)) for g, b in
              zip(kernel, cells, strict=True)]  # fmt: skip
    y = [sum(map(Fraction.__mul__, row, places)) for row in output]
    taps = [w[0] * x[2 * i] + w[1] * x[2 * i + 1] + w[2] * x[2 * i + 2] for i in range(m)]
    assert y == taps
    for row in (*output, *cells):
        assert all(Fraction(float(np.float32(one))) == one for one in row)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("m", TOLERANCE)
def test_weights_are_rounded_once(m, turned):
    f, c = 37, 150
    w, packed = weights(f, c, m, turned)
    if turned:
        w = w[:, :, ::-1, ::-1].swapaxes(0, 1)
    kernel = np.array(matrices(m)[1], float)
    want = np.einsum("ik,fckl,jl->ijcf", kernel, w.astype(float), kernel).reshape(
        -1, *w.shape[1::-1]
    )
    blocks, depth = packed.shape[1:3]
    group = winograd.GROUP[winograd.target.host().registers]
    flat = packed.reshape(-1)
    for first in range(0, blocks, group):
        count = min(group, blocks - first)
        size = len(want) * depth * count * 16
        got = flat[:size].reshape(len(want), depth, count * 16)
        flat = flat[size:]
        there = min(w.shape[0] - first * 16, count * 16)
        part = want[:, :, first * 16 : first * 16 + there]
        np.testing.assert_allclose(got[:, : w.shape[1], :there], part, rtol=1e-7, atol=1e-9)
        assert not got[:, w.shape[1] :].any() and not got[:, :, there:].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("m", TOLERANCE)
def test_convolution(m, shape):
    n, c, f, h, w_, tiles, shares = shape
    x, b = drawn((n, c, h, w_)), biases(f)
    w, packed = weights(f, c, m)
    source, result = blocked(n, c, h, w_, 1).put(x), blocked(n, f, h, w_, 1, fill=5)
    how = {"m": m, "tiles": tiles, "shares": shares, "activation": "leaky"}
    execute(winograd.conv2d(source.map, result.map, packed, b, **how))
    source.check()
    result.check()
    near(result.get(), truth(x, w, b[:f], "leaky"), m)


@pytest.mark.parametrize("shape", [*SHAPES, (1, 16, 32, 53, 26, 24, 1)])
@pytest.mark.parametrize("m", [2, 3, 4])
def test_stride_of_two(m, shape):
    n, c, f, h, w_, tiles, shares = shape
    x, b = drawn((n, c, h, w_)), biases(f)
    w, packed = weights(f, c, m, stride=2)
    want = truth(x, w, b[:f], "leaky", stride=2)
    source, result = blocked(n, c, h, w_, 1).put(x), blocked(*want.shape, 1, fill=5)
    how = {"m": m, "tiles": tiles, "shares": shares, "stride": 2}
    execute(winograd.conv2d(source.map, result.map, packed, b, **how, activation="leaky"))
    source.check()
    result.check()
    near(result.get(), want, m)


@pytest.mark.parametrize("m", [3, 6])
def test_data_gradient(m):
    n, c, f, h, w_ = 2, 20, 35, 11, 8
    dy = drawn((n, f, h, w_))
    w, packed = weights(f, c, m, turned=True)
    source, result = blocked(n, f, h, w_, 1).put(dy), blocked(n, c, h, w_)
    how = {"m": m, "tiles": 10, "activation": "linear"}
    execute(winograd.conv2d(source.map, result.map, packed, None, **how))
    want = reference.conv2d_input_grad(
        dy.astype(float), w.astype(float), shape=(n, c, h, w_), stride=(1, 1), padding=1
    )
    near(result.get(), want, m)


@pytest.mark.parametrize("m", [2, 5])
def test_ranges_of_wider_maps(m):
    x, b = drawn((2, 20, 9, 10)), biases(24)
    w, packed = weights(24, 20, m)
    wide, result = blocked(2, 64, 9, 10, (1, 2, 3, 1)), blocked(2, 80, 9, 10, 2, fill=9)
    wide.put(drawn((2, 64, 9, 10), 3))  # what is beside x, and in its last block beyond c
    wide.range(16, 20).put(x)
    wide.array[:, 2, 1:-3, 2:-1, 4:] = 1e30
    into = result.range(48, 24)
    how = {"m": m, "tiles": 13, "activation": "linear"}
    execute(winograd.conv2d(wide.range(16, 20).map, into.map, packed, b, **how))
    result.check()
    near(into.get(), truth(x, w, b[:24]), m)
    assert (result.get()[:, :48] == 9).all()


@pytest.mark.parametrize("activation", ["leaky", "mish"])
@pytest.mark.parametrize("m", [2, 4, 6])
def test_pool(m, activation):
    x, b = drawn((2, 17, 14, 10)), biases(40)
    w, packed = weights(40, 17, m)
    source, result = blocked(2, 17, 14, 10, 1).put(x), blocked(2, 40, 7, 5, 1)
    how = {"m": m, "tiles": 5, "activation": activation, "pool": True}
    execute(winograd.conv2d(source.map, result.map, packed, b, **how))
    result.check()
    want = truth(x, w, b[:40], activation).reshape(2, 40, 7, 2, 5, 2).max((3, 5))
    near(result.get(), want, m)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("m", [3, 4])
def test_residual(m, first):
    x, b, add = drawn((1, 16, 11, 13)), biases(32), drawn((1, 32, 11, 13), 4)
    w, packed = weights(32, 16, m)
    source, result = blocked(1, 16, 11, 13, 1).put(x), blocked(1, 32, 11, 13, 1)
    other = blocked(1, 32, 11, 13, 3).put(add)
    how = {"m": m, "tiles": 6, "shares": 2, "activation": "mish"}
    how |= {"residual": other.map, "residual_first": first}
    execute(winograd.conv2d(source.map, result.map, packed, b, **how))
    result.check()
    linear = truth(x, w, b[:32])
    want = reference.activate(linear + add if first else linear, "mish")
    near(result.get(), want if first else want + add, m)


def test_any_division_and_threads_give_the_same_bytes():
    x = drawn((2, 32, 13, 13))
    _, packed = weights(48, 32, 4)
    source, results = blocked(2, 32, 13, 13, 1).put(x), []
    for tiles, shares, threads in [(32, 1, 1), (7, 1, 2), (13, 3, 3), (13, 2, 2)]:
        result = blocked(2, 48, 13, 13)
        how = {"m": 4, "tiles": tiles, "shares": shares, "activation": "swish"}
        execute(winograd.conv2d(source.map, result.map, packed, None, **how), threads)
        results.append(result.get())
    for one in results[1:]:
        assert np.array_equal(one, results[0])


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("x", [(1, 512, 13, 13), (8, 64, 52, 52), (1, 16, 1, 3), (1, 32, 9, 208)])
def test_choice(x, threads):
    options = winograd.candidates(x, 64, threads)
    assert all(winograd.cost(x, 64, threads, **one) > 0 for one in options)
    assert winograd.choose(x, 64, threads) in options
    assert winograd.choose(x, 64, threads, strict=True)["m"] == 2
    assert winograd.choose(x, 64, threads, pool=True)["m"] in (2, 4, 6)


@pytest.mark.parametrize("x", [(1, 64, 208, 208), (2, 16, 5, 7)])
def test_choice_at_stride_two(x):
    options = winograd.candidates(x, 64, 2, stride=2)
    assert winograd.choose(x, 64, 2, stride=2) in options
    assert all(one["stride"] == 2 for one in options)
    assert winograd.direct_cost(x, 64, 2, stride=2) > 0


def test_large_maps_take_large_tiles_and_large_weights_small_ones():
    assert winograd.choose((1, 64, 104, 104), 128, 2)["m"] >= 4
    assert winograd.choose((1, 512, 13, 13), 1024, 2)["m"] <= 3


@pytest.mark.parametrize("target", TARGETS)
def test_products_stay_in_registers(target):
    registers = TARGETS[target].registers
    most, group = winograd.MOST[registers], winograd.GROUP[registers]
    text = assembly(
        "winograd", "multiply", TARGETS[target], filters=group, cells=most,
        unroll=winograd.UNROLL[registers], ahead=2048, fetch=4,
    )  # fmt: skip
    assert not spills(text)


def test_of_ways_that_cost_about_the_same_the_one_with_the_fewest_weights_is_taken():
    for x, filters in (((1, 512, 13, 13), 1024), ((1, 128, 52, 52), 256), ((1, 256, 26, 26), 256)):
        taken = winograd.choose(x, filters, 2)
        each = {}
        for one in winograd.candidates(x, filters, 2):
            each.setdefault(one["m"], []).append(winograd.cost(x, filters, 2, **one))
        most = winograd.SLACK * min(map(min, each.values()))
        assert taken["m"] == min(m for m, costs in each.items() if min(costs) <= most)
        assert winograd.cost(x, filters, 2, **taken) == min(each[taken["m"]])
