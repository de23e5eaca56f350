"""What the boxes of a [detection] learn."""

import numpy as np
import pytest

from darkpy.kernels import cuda, ops
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, device

SMALL = [case for case in CASES if case.op == "detection_loss" and not case.timed]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_no_order_of_threads_matters(order):
    agree(SMALL[0], on=device(check=False, order=order))


def test_objects_beyond_their_count_are_none():
    y, objects = SMALL[0].draw()
    want, figures = ops("reference").detection_loss(y, objects[:2], side=3, num=2)
    out, on = (np.empty_like(y), np.zeros(5, np.float32)), device()
    count = np.array([2], np.int32)
    on.run(cuda.detection_loss(on, out, y, objects, side=3, num=2, count=count))
    np.testing.assert_allclose(out[0], want, atol=1e-6)
    np.testing.assert_allclose(out[1], figures, rtol=1e-5)
