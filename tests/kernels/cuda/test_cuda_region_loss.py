"""What the boxes of a [region] learn."""

import numpy as np
import pytest

from darkpy.kernels import cuda, ops
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, device

REFERENCE = ops("reference")
SMALL = [case for case in CASES if case.op == "region_loss" and not case.timed]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("case", SMALL[-3:], ids=str)
@pytest.mark.parametrize("order", ["reverse", "random"])
def test_no_order_of_threads_matters(case, order):
    agree(case, on=device(check=False, order=order))


@pytest.mark.parametrize("warms", [False, True])
def test_takes_arrays_and_what_changes_from_step_to_step(warms, rng):
    classes = 40
    y = rng.uniform(0.05, 0.9, (3, 2 * (5 + classes), 6, 7)).astype(np.float32)
    anchors = np.array([[0.8, 1.1], [2.0, 1.6]], np.float32)
    crowd = [[2, k, 0.31 + k / 1000, 0.42, 0.1 + k / 50, 0.2] for k in range(9)]
    truths = np.array([[0, 39, 0.9, 0.99, 0.3, 0.2], *crowd], np.float32)
    room = np.full((64, 6), np.nan, np.float32)
    room[: len(truths)] = truths
    want, figures = REFERENCE.region_loss(y, truths, anchors, warm_up=warms, thresh=0.3)
    on = device()
    out = np.full_like(y, np.nan), np.full(5, np.nan, np.float32)
    count, now = np.array([len(truths)], np.int32), np.array([warms], np.int32)
    keys = {"count": count, "warm_up": now, "thresh": 0.3}
    on.run(cuda.region_loss(on, out, y, room, anchors, **keys))
    np.testing.assert_allclose(out[0], want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out[1], figures, rtol=1e-5)
