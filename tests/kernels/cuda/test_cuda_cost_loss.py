"""The losses of vectors."""

import numpy as np
import pytest

from darkpy.kernels import cuda, ops
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, device, from_map, to_map

OPS = ("softmax_loss", "cost_loss")
SMALL = [case for case in CASES if case.op in OPS and not case.timed]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


def test_no_order_of_threads_matters():
    for order in ("reverse", "random"):
        agree(SMALL[2], on=device(check=False, order=order))


def test_a_map_learns_from_planes(rng):
    x, truth = rng.standard_normal((2, 2, 6, 3, 5), dtype=np.float32)
    on = device()
    gradient, cost = on.map(x.shape, "float"), np.zeros(1, np.float32)
    on.run(cuda.cost_loss(on, (gradient, cost), to_map(on, x, "float"), truth))
    want, distance = ops("reference").cost_loss(x, truth)
    np.testing.assert_array_equal(from_map(gradient), want)
    np.testing.assert_allclose(cost, distance, rtol=1e-6)


def test_what_is_impossible_costs_infinitely_much():
    y, truth = np.array([[0, 1]], np.float32), np.array([[1, 0]], np.float32)
    on = device()
    gradient, cost = np.empty_like(y), np.zeros(1, np.float32)
    on.run(cuda.softmax_loss(on, (gradient, cost), y, truth))
    assert cost[0] == np.inf
    assert gradient.tolist() == [[-1, 1]]
