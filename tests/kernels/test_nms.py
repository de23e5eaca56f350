import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpy.kernels import ops

DEVICES = ("reference", "cpu")
KINDS = ("default", "cornersnms", "greedynms", "diounms")


def nms_by_loops(boxes, scores, thresh, kind, beta):
    """Suppress with two loops and in double precision, as darknet's diounms_sort reads."""
    order = sorted(range(len(boxes)), key=lambda i: (-scores[i], i))
    keep = np.ones(len(boxes), bool)
    for rank, i in enumerate(order):
        for j in order[rank + 1 :] if keep[i] else ():
            if overlap_by_scalars(boxes[i], boxes[j], kind, beta) > thresh:
                keep[j] = False
    return keep


def overlap_by_scalars(a, b, kind, beta):
    (ax, ay, aw, ah), (bx, by, bw, bh) = a.tolist(), b.tolist()
    w = min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2)
    h = min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2)
    both = 0.0 if w < 0 or h < 0 else w * h
    union = aw * ah + bw * bh - both
    iou = both / union if both and union else 0.0
    if kind in ("default", "cornersnms"):
        return iou
    wide = max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)
    high = max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    around = wide**2 + high**2
    apart = (ax - bx) ** 2 + (ay - by) ** 2
    return iou - (apart / around) ** (0.6 if kind == "greedynms" else beta) if around else iou


def crowd(rng, n):
    """Boxes in a few heaps, with scores of which some are equal."""
    heaps = rng.uniform(0.2, 0.8, (4, 4))
    boxes = heaps[rng.integers(0, 4, n)] + rng.uniform(-0.08, 0.08, (n, 4))
    return boxes.astype(np.float32), rng.integers(1, 20, n).astype(np.float32) / 20


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thresh", [0.2, 0.45, 0.6])
def test_nms_equals_the_loops(device, kind, thresh, rng):
    kernel = ops(device).nms
    for n in (0, 1, 2, 40):
        boxes, scores = crowd(rng, n)
        keep = kernel(boxes, scores, thresh=thresh, kind=kind, beta=0.9)
        assert (keep.shape, keep.dtype) == ((n,), np.bool_)
        expected = nms_by_loops(boxes, scores, thresh, kind, 0.9)
        np.testing.assert_array_equal(keep, expected)


@pytest.mark.parametrize("device", DEVICES)
def test_the_kinds_differ_where_they_should(device):
    kernel = ops(device).nms
    boxes = np.array([[0.5, 0.5, 0.4, 0.4], [0.56, 0.5, 0.4, 0.4]], np.float32)  # iou .739
    scores = np.array([0.5, 0.9], np.float32)
    both = [True, True]
    only_the_surer = [False, True]
    keep = {
        (kind, beta): kernel(boxes, scores, thresh=0.7, kind=kind, beta=beta).tolist()
        for kind, beta in [*((kind, 0.6) for kind in KINDS), ("diounms", 1.0)]
    }
    assert keep == {
        ("default", 0.6): only_the_surer,
        ("cornersnms", 0.6): only_the_surer,
        ("greedynms", 0.6): both,  # .739 - .0097 ** .6 = .677
        ("diounms", 0.6): both,
        ("diounms", 1.0): only_the_surer,  # .739 - .0097 = .729
    }


@pytest.mark.parametrize("device", DEVICES)
def test_of_equal_scores_the_first_stays(device):
    boxes = np.tile(np.array([0.5, 0.5, 0.2, 0.2], np.float32), (5, 1))
    keep = ops(device).nms(boxes, np.full(5, 0.7, np.float32), thresh=0.45)
    assert keep.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("device", DEVICES)
def test_a_box_that_was_suppressed_suppresses_none(device):
    boxes = np.array([[x, 0.5, 0.4, 0.4] for x in (0.5, 0.6, 0.7)], np.float32)
    keep = ops(device).nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), thresh=0.5)
    assert keep.tolist() == [True, False, True]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kind", KINDS)
def test_empty_boxes_overlap_nothing(device, kind):
    boxes = np.zeros((3, 4), np.float32)
    keep = ops(device).nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), thresh=0.45, kind=kind)
    assert keep.all()


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.95), st.sampled_from(KINDS))
def test_what_is_kept_is_apart_and_what_is_not_is_covered(seed, thresh, kind):
    rng = np.random.default_rng(seed)
    boxes, scores = crowd(rng, 25)
    keep = ops("reference").nms(boxes, scores, thresh=thresh, kind=kind)

    def overlaps(i, j, slack):
        return overlap_by_scalars(boxes[i], boxes[j], kind, 0.6) > thresh + slack

    kept = np.flatnonzero(keep)
    slack = 1e-6  # float32 against double
    assert not any(overlaps(i, j, slack) for i in kept for j in kept if i != j)
    for j in np.flatnonzero(~keep):
        assert any(overlaps(i, j, -slack) for i in kept if scores[i] >= scores[j])


@pytest.mark.parametrize("device", DEVICES)
def test_memory_is_of_the_order_of_the_boxes(device, rng):
    n = 20_000
    boxes, scores = crowd(rng, n)
    kernel = ops(device).nms
    kernel(boxes[:2], scores[:2], thresh=0.1)  # compiled, if it is to be
    tracemalloc.start()
    try:
        kernel(boxes, scores, thresh=0.1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 200 * n  # bytes; a matrix of n * n bools has 20,000 * n


def test_another_kind_is_refused():
    none = np.zeros((0, 4), np.float32)
    with pytest.raises(ValueError, match="kind 'soft': expected one of default"):
        ops("reference").nms(none, none[:, 0], thresh=0.45, kind="soft")
