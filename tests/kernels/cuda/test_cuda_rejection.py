"""Gradients of wrong labels are rejected as the processor does, in any order of threads."""

from dataclasses import astuple

import numpy as np
import pytest

from darkpy.kernels import cuda
from darkpy.kernels.cuda.rejection import ACTS, NUMBERS
from darkpy.loss.rejection import Rejection, Rule
from darkpy.net import NetOptions
from tests.kernels.cuda.agree import device, from_map, to_map

KEYS = {
    "num_sigmas_reject_badlabels": 2.0,
    "badlabels_rejection_percentage": 150.0,
    "equidistant_point": 40,
}
SHAPES = [(1, 18, 1, 1), (2, 14, 3, 5), (3, 27, 31, 43)]  # the last of more blocks than one


def sparse(rng, shape):
    """Gradients of which most are 0, as those of a head."""
    values = rng.standard_normal(shape, np.float32)
    return np.where(rng.random(shape) < 0.3, values, np.float32(0))


def reject(on, gradient, rejection, rule, as_map, **numbers):
    """Return what is left of a gradient, the squares, and what is remembered."""
    held = to_map(on, gradient, "float") if as_map else on.upload(gradient.copy())
    known = np.full(NUMBERS, np.nan)
    known[:10] = *astuple(rejection), *astuple(rule)
    known, squares = on.upload(known), on.upload(np.full(3, np.nan, np.float32))
    on.run(cuda.reject_deltas(on, (held, known, squares), **numbers))
    left = from_map(held) if as_map else on.download(held)
    return left, on.download(squares), Rejection(*on.download(known)[:4].tolist())


def check(shape, names, as_map, on, rng):
    entries = shape[1] // (3 if shape[1] == 27 else 2)
    options = NetOptions(max_batches=100, **{name: KEYS[name] for name in names})
    known = other = Rejection(2.0, 0.9, 0.3, 1.4)
    for iteration in (80, 95):
        gradient = sparse(rng, shape)
        rule = Rule.of(options, iteration)
        factor = on.upload(np.array([8], np.float32))
        left, squares, other = reject(
            on, gradient, other, rule, as_map, entries=entries, delta_normalizer=0.3, factor=factor
        )
        known = Rejection(*astuple(known))
        known.apply(gradient, entries, options, iteration)
        np.testing.assert_allclose(left, gradient * np.float32(0.3 * 8), rtol=1e-6)
        parts = np.split(gradient.reshape(shape[0], -1, entries, *shape[2:]), [4, 5], 2)
        np.testing.assert_allclose(squares, [np.sum(one**2) for one in parts], rtol=1e-5)
        np.testing.assert_allclose(astuple(other), astuple(known), rtol=1e-6)  # sums of float32


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("as_map", [True, False])
@pytest.mark.parametrize("names", [*((name,) for name in KEYS), tuple(KEYS)], ids="+".join)
def test_is_what_the_processor_does(shape, as_map, names, rng):
    check(shape, names, as_map, device(), rng)


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_no_order_of_threads_matters(order, rng):
    check(SHAPES[2], tuple(KEYS), True, device(check=False, order=order), rng)


@pytest.mark.parametrize("as_map", [True, False])
def test_what_is_all_zero_is_not_remembered(as_map):
    gradient, before = np.zeros((1, 7, 2, 2), np.float32), Rejection(1, 2, 3, 4)
    rule = Rule.of(NetOptions(max_batches=100, **KEYS), 90)
    left, squares, after = reject(device(), gradient, before, rule, as_map, entries=7)
    assert after == before and not left.any() and not squares.any()


def test_nothing_is_touched_where_nothing_is_rejected(rng):
    gradient, before = sparse(rng, SHAPES[1]), Rejection(1, 2, 3, 4)
    rule = Rule.of(NetOptions(max_batches=100, **KEYS), 30)
    assert not rule.acts and [*astuple(before), *astuple(rule)][ACTS] is False
    left, squares, after = reject(
        device(), gradient, before, rule, True, entries=7, delta_normalizer=0.5
    )
    np.testing.assert_array_equal(left, gradient)
    assert after == before and np.isnan(squares).all()
