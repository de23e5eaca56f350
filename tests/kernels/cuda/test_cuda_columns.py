"""Sums over pixels are the same bytes in whatever order blocks and threads run."""

import numpy as np
import pytest

from darkpy.kernels import cuda
from tests.kernels.cuda import agree as tools
from tests.kernels.cuda.agree import device

SHAPE = (2, 19, 12, 18)
C = SHAPE[1]


def blank(*shape):
    return np.full(shape, np.nan, np.float32)


def statistics(on, x, dy):
    found = blank(2, C)
    return found, cuda.batch_statistics(on, tuple(found), x)


def normalize_grad(on, x, dy):
    found, known = blank(2, C), np.ones((4, C), np.float32)
    keys = {"scales": known[2], "biases": known[3], "activation": "mish", "pool": False}
    return found, cuda.normalize_grad(on, (x, *found), dy, x, *known[:2], **keys)


def bias_grad(on, x, dy):
    found = blank(C)
    return found, cuda.bias_grad(on, found, dy)


def weights_grad(on, x, dy):
    found = blank(1, 2, 1, 1)
    maps = (tools.around(on, SHAPE, x.type), tools.around(on, SHAPE, x.type))
    w = np.ones((1, 2, 1, 1), np.float32)
    return found, cuda.weighted_shortcut_grad(on, (found, *maps), dy, w, x, dy)


def avgpool(on, x, dy):
    y = tools.around(on, (*SHAPE[:2], 1, 1), x.type)
    return y, cuda.avgpool(on, y, x)


def softmax(on, x, dy):
    y = tools.around(on, SHAPE, x.type)
    return y, cuda.softmax(on, y, x)


@pytest.mark.parametrize(
    "op", [statistics, normalize_grad, bias_grad, weights_grad, avgpool, softmax]
)
def test_order_changes_nothing(rng, op):
    numbers = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    answers = []
    for order in ("forward", "reverse", "random"):
        on = device(check=False, order=order)
        found, launches = op(on, *(tools.to_map(on, one, "half") for one in numbers))
        on.run(launches)
        answers.append(found if isinstance(found, np.ndarray) else tools.from_map(found))
    assert np.isfinite(answers[0]).all()
    assert all(np.array_equal(one, answers[0]) for one in answers)
