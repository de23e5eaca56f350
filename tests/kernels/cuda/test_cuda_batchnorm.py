"""Batch normalisation and its fused forms against the reference."""

import numpy as np
import pytest

from darkpy.kernels import cuda
from darkpy.plan import fused
from tests.kernels.cases import CASES
from tests.kernels.cuda import agree as tools
from tests.kernels.cuda.agree import REFERENCE, agree, device

OPS = ("batchnorm", "batchnorm_grad", "batch_statistics", "roll_average")
SMALL = [case for case in CASES if case.op in OPS and not case.timed]
LARGE = [case for case in SMALL if "2x19" in str(case)]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_agrees_in_16_bits(case, type_):
    agree(case, type_)


@pytest.mark.parametrize("order", ["reverse", "random"])
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_needs_no_order(case, order):
    agree(case, on=device(check=False, order=order))


def vectors(rng, c):
    """Return scales and biases, of which some turn a channel upside down."""
    return rng.standard_normal((2, c)).astype(np.float32)


@pytest.mark.parametrize(
    ("type_", "activation", "pool"),
    [
        ("float", "mish", False),
        ("float", "leaky", True),
        ("half", "mish", True),
        ("bf16", "leaky", True),
    ],
)
def test_fused_with_activation_and_pool(rng, type_, activation, pool):
    on, shape = device(), (2, 11, 6, 10)
    x = tools.rounded(rng.standard_normal(shape).round(1), type_)
    scales, biases = vectors(rng, shape[1])
    keys = {"scales": scales, "biases": biases, "activation": activation, "pool": pool}
    truth, mean, variance = fused.normalize(REFERENCE, x.astype(float), **keys)
    y = tools.around(on, truth.shape, type_)
    found = np.full((2, shape[1]), np.nan, np.float32)
    stored = tools.to_map(on, x, type_)
    on.run(cuda.normalize(on, (y, *found), stored, **keys))
    close(tools.from_map(y), truth, type_)
    close(found, np.stack([mean, variance]), "float")

    dout = tools.rounded(rng.standard_normal(truth.shape), type_)
    truths = fused.normalize_grad(REFERENCE, dout.astype(float), x.astype(float), *found, **keys)
    sums = np.full((2, shape[1]), np.nan, np.float32)
    delta = tools.to_map(on, dout, type_)
    on.run(cuda.normalize_grad(on, (stored, *sums), delta, stored, *found, **keys))
    close(tools.from_map(stored), truths[0], type_)
    close(sums, np.stack(truths[1:]), "float")


def close(found, truth, type_):
    error = np.abs(found - truth).max()
    assert error <= tools.TOLERANCE[type_] * np.abs(truth).max()


def test_pool_asks_for_even_sizes():
    on = device()
    x, y = on.map((1, 4, 5, 6), "float"), on.map((1, 4, 2, 3), "float")
    one = on.empty(4, np.float32)
    keys = {"scales": one, "biases": one, "activation": "linear", "pool": True}
    with pytest.raises(ValueError, match="5 x 6 cells: expected even"):
        cuda.normalize(on, (y, one, one), x, **keys)


# Where a mean is 1000 deviations large float32 holds the numbers to 6e-5 of a deviation; a sum of
# squares would lose all of the variance.
def test_variance_of_what_is_far_from_zero(rng):
    x = (1000 + rng.standard_normal((2, 5, 31, 29))).astype(np.float32)
    found = np.full((2, 5), np.nan, np.float32)
    on = device(check=False)
    on.run(cuda.batch_statistics(on, tuple(found), tools.to_map(on, x, "float")))
    mean, variance = REFERENCE.batch_statistics(x.astype(float))
    np.testing.assert_allclose(found[0], mean, rtol=1e-6)
    np.testing.assert_allclose(found[1], variance, rtol=1e-5)


@pytest.mark.parametrize(("pixels", "rows"), [(700, 16), (100, 128), (4096, 8)])
def test_statistics_from_those_of_blocks(rng, pixels, rows):
    on, x = device(), 30 + rng.standard_normal((pixels, 45)).astype(np.float32)
    parts = [x[i : i + rows].astype(float) for i in range(0, pixels, rows)]
    partials = np.array([(p.mean(0), p.var(0) * len(p)) for p in parts], np.float32)
    found = np.full((2, 45), np.nan, np.float32)
    launches = cuda.finish_statistics(
        on, tuple(found), on.upload(partials), pixels=pixels, rows_per_block=rows
    )
    on.run(launches)
    np.testing.assert_allclose(found[0], x.mean(0, dtype=float), rtol=1e-6)
    np.testing.assert_allclose(found[1], x.var(0, dtype=float, ddof=1), rtol=1e-5)


def test_an_average_that_layers_share_rolls_for_each(rng):
    on, rolling, truth = device(), *(np.ones(300, np.float32) for _ in "ab")
    batches = rng.standard_normal((3, 300)).astype(np.float32)
    for batch in batches:
        REFERENCE.roll_average(truth, batch)
    on.run(cuda.roll_averages(on, *(one for batch in batches for one in (rolling, batch))))
    np.testing.assert_allclose(rolling, truth, rtol=1e-6)


def test_rolls_more_averages_than_a_launch_takes(rng):
    on = device()
    pairs = [rng.standard_normal((2, size)).astype(np.float32) for size in (3, 300, *range(1, 9))]
    truths = [one[0].copy() for one in pairs]
    for truth, (_, batch) in zip(truths, pairs, strict=True):
        REFERENCE.roll_average(truth, batch)
    on.run(cuda.roll_averages(on, *(vector for one in pairs for vector in one)))
    for truth, (rolling, _) in zip(truths, pairs, strict=True):
        np.testing.assert_allclose(rolling, truth, rtol=1e-6, atol=1e-7)
