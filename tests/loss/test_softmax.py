import math
from pathlib import Path

import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.kernels import ops
from darkpy.layers import Shape
from darkpy.layers.softmax import Softmax
from darkpy.loss import LOSSES, Moment
from tests.layers.gradient import run
from tests.loss.descent import descend

ZOO = str(Path(__file__).parents[1] / "layers" / "zoo.tree")


def lost(layer, x, truths):
    y = run(layer, x, train=True)[1]
    return y, LOSSES["softmax"](ops("reference"), layer, y, truths, Moment(Shape(3, 8, 8)))


def one_hot(*classes, size=6):
    return [np.eye(size, dtype=np.float32)[k] for k in classes]


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Softmax(), (6, 1, 1)),
        (Softmax(temperature=3.0), (6, 1, 1)),
        (Softmax(groups=2), (6, 1, 1)),
        (Softmax(spatial=True), (3, 1, 2)),
        (Softmax(), (3, 2, 1)),
    ],
)
def test_probabilities_less_truths_are_the_gradient(layer, shape, rng):
    x, truths = rng.normal(0, 1, (2, *shape)).astype(np.float32), one_hot(1, 4)
    y, got = lost(layer, x, truths)
    flat, cost = got.gradient.reshape(2, 6), 0
    for image, truth in enumerate(truths):
        for k, (p, t) in enumerate(zip(y[image].reshape(-1), truth, strict=True)):
            assert flat[image, k] == pytest.approx(p - t, rel=1e-6)
            cost -= math.log(p) if t else 0
    assert got.gradient.shape == y.shape and got.gradient.dtype == np.float32
    assert got.cost == got.classification == pytest.approx(cost, rel=1e-5)
    assert got.count == 0 and math.isnan(got.iou)


def test_smoothed_truths_are_not_weighed(rng):
    truth = np.array([0.9, 0.05, 0.05], np.float32)
    y, got = lost(Softmax(), rng.normal(0, 1, (1, 3, 1, 1)).astype(np.float32), [truth])
    assert got.cost == pytest.approx(-np.log(y).sum(), rel=1e-5)


def test_in_a_tree_branches_that_are_not_taken_learn_nothing(rng):
    truth = np.array([0, 1, -1234, -1234, -1234], np.float32)
    x = rng.normal(0, 1, (1, 5, 1, 1)).astype(np.float32)
    y, got = lost(Softmax(tree=ZOO), x, [truth])
    np.testing.assert_allclose(got.gradient[0, :2, 0, 0], y[0, :2, 0, 0] - (0, 1), rtol=1e-6)
    assert not got.gradient[0, 2:].any()
    assert got.cost == pytest.approx(-math.log(y[0, 1, 0, 0]), rel=1e-5)


def test_noloss_has_none(rng):
    layer = Softmax(noloss=True)
    y, got = lost(layer, rng.normal(0, 1, (2, 6, 1, 1)).astype(np.float32), one_hot(1, 4))
    assert got.cost == 0 and got.gradient.shape == y.shape and not got.gradient.any()


def test_the_impossible_costs_infinitely_much():
    x = np.array([1000, -1000], np.float32).reshape(1, 2, 1, 1)
    assert lost(Softmax(), x, one_hot(1, size=2))[1].cost == math.inf


@pytest.mark.parametrize("truth", [np.zeros(5, np.float32), np.zeros((1, 5), np.float32)])
def test_a_truth_of_another_length_is_refused(truth, rng):
    with pytest.raises(NetworkError, match=r"expected a truth of 6 values.*got an array of shape"):
        lost(Softmax(), rng.normal(0, 1, (1, 6, 1, 1)), [truth])


@pytest.mark.parametrize("heads", ["[softmax]", "[softmax]\n[cost]", "[softmax]\nnoloss=1\n[cost]"])
def test_a_tiny_classifier_learns_its_pictures(heads, tmp_path, rng):
    before, after = descend(
        tmp_path, 6, f"[avgpool]\n{heads}", one_hot(1, 4, 0), rng, steps=400, rate=0.3
    )
    assert after < 0.1 * before
