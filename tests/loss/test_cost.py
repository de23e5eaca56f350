import math

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.layers import Shape
from darkpy.layers.cost import Cost
from darkpy.layers.softmax import Softmax
from darkpy.loss import LOSSES, Moment
from tests.layers.gradient import run
from tests.loss.descent import descend

NOTHING = -1234
X = np.array([0.5, -3.0, 2.0, 0.25, 1.5, 7.0], np.float32)
TRUTH = np.array([1.0, 0.0, NOTHING, 0.25, 0.0, -1.0], np.float32)


def lost(layer, x, truths):
    y = run(layer, x, train=True)[1]
    return LOSSES["cost"](ops("reference"), layer, y, truths, Moment(Shape(3, 8, 8)))


def slow(kind, x, truth):
    """Return delta and error of one value, as the specification has them."""
    if kind == "masked" and truth == NOTHING:
        x = truth
    difference = truth - x
    if kind == "smooth" and abs(difference) >= 1:
        return math.copysign(1, difference), 2 * abs(difference) - 1
    return difference, difference**2


@pytest.mark.parametrize("kind", ["sse", "masked", "smooth"])
@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 2, 3)])
def test_distances(kind, scale, shape):
    layer = Cost(type=kind, scale=scale, ratio=0.3)  # which has no effect
    got = lost(layer, np.stack([X, TRUTH]).reshape(2, *shape), [TRUTH, TRUTH])
    want = [slow(kind, float(x), float(t)) for x, t in zip(X, TRUTH, strict=True)]
    deltas, errors = np.array(want).T
    np.testing.assert_allclose(got.gradient[0].reshape(-1), -scale * deltas, rtol=1e-6)
    assert not got.gradient[1].any()
    assert got.gradient.dtype == np.float32
    assert got.cost == pytest.approx(errors.sum(), rel=1e-6)


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e30])
def test_any_prediction_is_survived(value):
    x = np.full((1, 6, 1, 1), value, np.float32)
    assert not lost(Cost(), x, [TRUTH]).cost < 1e30


def test_behind_a_softmax_both_losses_are_by_its_input(rng):
    """As in darknet's classifiers: (1 + scale) * (p - t) reaches what is before the softmax."""
    softmax, cost = Softmax(), Cost(scale=0.5)
    truth = [np.eye(4, dtype=np.float32)[2]]
    before, y = run(softmax, rng.normal(0, 1, (1, 4, 1, 1)).astype(np.float32), train=True)
    after, out = run(cost, y, train=True)
    moment = Moment(Shape(3, 8, 8))
    losses = [
        LOSSES[layer.section](ops("reference"), layer, head, truth, moment)
        for layer, head in ((softmax, y), (cost, out))
    ]
    (through,) = cost.backward(after, losses[1].gradient)
    (dx,) = softmax.backward(before, losses[0].gradient + through)
    np.testing.assert_allclose(dx[0, :, 0, 0], 1.5 * (y[0, :, 0, 0] - truth[0]), rtol=1e-6)


@pytest.mark.parametrize("kind", ["sse", "masked", "smooth"])
def test_a_tiny_network_learns_its_pictures(kind, tmp_path, rng):
    wanted = list(rng.normal(0, 2, (3, 5)).astype(np.float32))
    heads = f"[connected]\noutput=5\nactivation=linear\n[cost]\ntype={kind}\n"
    before, after = descend(tmp_path, 5, heads, wanted, rng, rate=0.01)
    assert after < 0.1 * before
