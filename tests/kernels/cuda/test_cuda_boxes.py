"""Boxes that lie on others: the best truth of each, and suppression."""

from dataclasses import replace

import numpy as np
import pytest

from darkpy.kernels import cuda, ops
from tests.kernels.case import suppression
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, device

SMALL = [case for case in CASES if case.op in ("nms", "best_overlap") and not case.timed]
LARGE = [suppression(n, kind) for n in (63, 64, 65, 300) for kind in ("default", "diounms")]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
@pytest.mark.parametrize("case", LARGE, ids=str)
def test_suppresses_what_is_compared_in_turns(case, order):
    agree(case)
    agree(case, on=device(check=False, order=order))


def test_a_box_in_every_place_of_the_order_suppresses(rng):
    centres = np.repeat(np.arange(100) / 10, 2)
    boxes = np.column_stack([centres, centres, np.full((200, 2), 0.05)]).astype(np.float32)
    place = rng.permutation(200)
    scores = np.empty(200, np.float32)
    scores[place] = np.linspace(1, 0, 200)
    keep, on = np.zeros(200, bool), device()
    on.run(cuda.nms(on, keep, boxes, scores, thresh=0.5))
    np.testing.assert_array_equal(keep, ops("reference").nms(boxes, scores, thresh=0.5))
    assert keep.sum() == 100


def test_truths_beyond_their_count_are_none():
    case = next(case for case in SMALL if case.name == "few")
    boxes, truths = case.draw()
    room = np.full((20, 6), np.nan, np.float32)
    room[: len(truths)] = truths
    on = device()
    best, which = np.empty((3, 2, 50), np.float32), np.empty((3, 2, 50), np.int32)
    count = np.array([len(truths)], np.int32)
    on.run(cuda.best_overlap(on, (best, which), boxes, room, count=count))
    for found, want in zip(
        (best, which), ops("reference").best_overlap(boxes, truths), strict=True
    ):
        np.testing.assert_allclose(found, want, rtol=1e-5)


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="kind 'soft': expected one of default"):
        agree(replace(SMALL[0], numbers={"thresh": 0.5, "kind": "soft"}))
