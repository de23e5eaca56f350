import numpy as np
import pytest

from darkpy import anchors
from darkpy.anchors import find_anchors, nearest_anchor
from darkpy.errors import DataError


def loops(boxes, centres):
    """Darknet's do_kmeans in loops, from the same centres: sizes and iterations."""

    def iou(a, b):
        shared = min(a[0], b[0]) * min(a[1], b[1])
        return shared / (a[0] * a[1] + b[0] * b[1] - shared)

    centres, assigned = [list(one) for one in centres], [0] * len(boxes)
    for iteration in range(1000):  # noqa: B007 (it is returned)
        shares = [[iou(box, centre) for centre in centres] for box in boxes]
        nearest = [row.index(max(row)) for row in shares]
        if nearest == assigned:
            break
        assigned = nearest
        for k in range(len(centres)):
            own = [box for box, at in zip(boxes, assigned, strict=True) if at == k]
            if own:
                centres[k] = [sum(side) / len(own) for side in zip(*own, strict=True)]
    return sorted(centres, key=lambda one: one[0] * one[1]), iteration


@pytest.mark.parametrize("seed", range(5))
def test_equals_darknets_loops(seed):
    boxes = np.random.default_rng(seed).uniform(5, 300, (60, 2)).round()
    found = find_anchors(boxes, 4, np.random.default_rng(9))
    start = np.random.default_rng(9).choice(np.unique(boxes, axis=0), 4, replace=False)
    sizes, iterations = loops(boxes.tolist(), start.tolist())
    np.testing.assert_allclose(found.sizes, sizes, rtol=1e-12)  # float64 sums in another order
    assert found.iterations == iterations


def test_clusters_are_found_and_sorted_by_area(rng):
    centres = np.array([[10, 20], [60, 40], [200, 250]])
    boxes = np.concatenate([one + rng.uniform(-1, 1, (50, 2)) for one in centres])
    found = find_anchors(boxes, 3, np.random.default_rng(2))
    np.testing.assert_allclose(found.sizes, centres, atol=0.5)  # means of 50 within +-1
    assert found.avg_iou > 0.9


def test_one_cluster_is_the_mean():
    found = find_anchors(np.array([[10.0, 20], [30, 40]]), 1, np.random.default_rng(0))
    assert found.sizes.tolist() == [[20, 30]]
    assert found.iterations == 0
    assert found.avg_iou == pytest.approx((200 / 600 + 600 / 1200) / 2)


def test_same_seed_same_anchors(rng):
    boxes = rng.uniform(1, 400, (500, 2))
    first, again = (find_anchors(boxes, 6, np.random.default_rng(5)) for _ in range(2))
    assert first.sizes.tobytes() == again.sizes.tobytes()


def test_as_many_clusters_as_sizes():
    boxes = np.array([[10.0, 20], [10, 20], [30, 40]])
    found = find_anchors(boxes, 2, np.random.default_rng(0))
    assert found.sizes.tolist() == [[10, 20], [30, 40]]
    assert found.avg_iou == 1
    with pytest.raises(DataError, match="3 clusters, but the boxes have only 2 sizes"):
        find_anchors(boxes, 3, np.random.default_rng(0))
    with pytest.raises(DataError, match="only 0 sizes"):
        find_anchors(np.zeros((0, 2)), 3, np.random.default_rng(0))


def test_an_anchor_without_boxes_stays():
    boxes = np.array([[10.0, 10], [11, 11]])
    means = anchors._means(boxes, np.array([0, 0]), np.array([[1.0, 2], [300, 300]]))
    assert means.tolist() == [[10.5, 10.5], [300, 300]]


def test_boxes_are_taken_piece_by_piece(monkeypatch, rng):
    boxes, sizes = rng.uniform(1, 9, (50, 2)), rng.uniform(1, 9, (3, 2))
    whole = nearest_anchor(boxes, sizes)
    monkeypatch.setattr(anchors, "AT_ONCE", 10)
    for one, other in zip(whole, nearest_anchor(boxes, sizes), strict=True):
        np.testing.assert_array_equal(one, other)
