import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpy.evaluate.average_precision import average_precision
from darkpy.evaluate.match import match
from darkpy.evaluate.report import evaluate, table
from tests.evaluate.loops import darknet_map

CLASSES = 3


def boxes(rng, n):
    """Return n boxes on a coarse grid, so that they overlap and overlap equally often."""
    return np.column_stack(
        [rng.integers(2, 8, (n, 2)) / 10, rng.choice([0.2, 0.25, 0.4], (n, 2))]
    ).astype(np.float32)


def truths(rng, n):
    return np.column_stack([rng.integers(0, CLASSES, n), boxes(rng, n)]).astype(np.float32)


def picture(rng, difficult):
    n = int(rng.integers(0, 12))
    probs = rng.integers(0, 8, (n, CLASSES)).astype(np.float32) / 8  # with zeros and with ties
    return boxes(rng, n), probs, truths(rng, int(rng.integers(0, 6))), truths(rng, difficult)


@given(
    seed=st.integers(0, 10_000),
    difficult=st.sampled_from([0, 0, 3]),
    points=st.sampled_from([0, 2, 11, 101]),
    iou_thresh=st.sampled_from([0.0, 0.3, 0.5, 0.75]),
)
def test_equals_darknets_loops(seed, difficult, points, iou_thresh):
    rng = np.random.default_rng(seed)
    pictures = [picture(rng, difficult) for _ in range(4)]
    matches = [match(*one) for one in pictures]
    report = evaluate(matches, CLASSES, thresh=0.25, iou_thresh=iou_thresh, points=points)
    ap, tp, fp, count, avg_iou = darknet_map(pictures, CLASSES, 0.25, iou_thresh, points)
    # The same sums of float64 in another order: 1e-9 is far above what that can change.
    np.testing.assert_allclose(report.ap, ap, atol=1e-9)
    assert report.tp.tolist() == tp
    assert report.fp.tolist() == fp
    assert report.detections == count
    assert report.avg_iou == pytest.approx(avg_iou, abs=1e-6)  # their IoUs are float32


def test_truth_without_detection_and_class_without_truth():
    probs = np.array([[0.0, 0.9, 0.0]], np.float32)
    box = np.array([[0.5, 0.5, 0.2, 0.2]], np.float32)
    row = np.array([[1, 0.5, 0.5, 0.2, 0.2], [0, 0.2, 0.2, 0.1, 0.1]], np.float32)
    report = evaluate([match(box, probs, row)], CLASSES)
    assert report.ap.tolist() == [0, 1, 0]
    assert report.map == pytest.approx(1 / 3)
    assert (report.fn, report.precision, report.recall) == (1, 1, 0.5)
    assert report.f1 == pytest.approx(2 / 3)
    assert report.avg_iou == pytest.approx(1)


def test_a_less_probable_detection_before_takes_the_truth_above_thresh():
    """Darknet counts the probable detection as wrong, yet average precision is whole."""
    probs = np.array([[0.1], [0.9]], np.float32)
    box = np.array([[0.5, 0.5, 0.2, 0.2]] * 2, np.float32)
    row = np.array([[0, 0.5, 0.5, 0.2, 0.2]], np.float32)
    report = evaluate([match(box, probs, row)], 1)
    assert (report.tp.tolist(), report.fp.tolist(), report.ap.tolist()) == ([0], [1], [1])


def test_difficult_objects_excuse_a_detection_from_the_curve_only():
    probs = np.array([[0.9], [0.8]], np.float32)
    box = np.array([[0.2, 0.2, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]], np.float32)
    row = np.array([[0, 0.7, 0.7, 0.2, 0.2]], np.float32)
    difficult = np.array([[0, 0.2, 0.2, 0.2, 0.2]], np.float32)
    plain = evaluate([match(box, probs, row)], 1)
    excused = evaluate([match(box, probs, row, difficult)], 1)
    assert plain.ap[0] == 0.5
    assert excused.ap[0] == 1
    assert excused.fp[0] == plain.fp[0] == 1
    assert (excused.detections, plain.detections) == (1, 2)


def test_truths_of_a_large_file_are_matched_piece_by_piece(monkeypatch):
    rng = np.random.default_rng(1)
    box, probs, row, _ = picture(rng, 0)
    whole = match(box, probs, row)
    monkeypatch.setattr("darkpy.evaluate.match.AT_ONCE", 1)
    pieces = match(box, probs, row)
    assert len(whole.prob) > 3 and len(row) > 0
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("points", [0, 11])
def test_nothing_found(points):
    row = np.array([[0, 0.5, 0.5, 0.2, 0.2]], np.float32)
    none = np.zeros((0, 4), np.float32)
    report = evaluate([match(none, none[:, :1], row)], 1, points=points)
    assert (report.map, report.recall, report.fn, report.avg_iou) == (0, 0, 1, 0)
    assert np.isnan(report.precision) and np.isnan(report.f1)
    assert "precision = nan, recall = 0.00, F1-score = nan" in "\n".join(table(report, ["a"]))


def test_no_picture_at_all():
    report = evaluate([], 2)
    assert (report.map, report.detections) == (0, 0)
    assert np.isnan(report.recall)


def test_area_of_a_known_curve():
    """Right, wrong, right; two objects."""
    precision, recall = np.array([1, 1 / 2, 2 / 3]), np.array([0.5, 0.5, 1])
    assert average_precision(precision, recall) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert average_precision(precision, recall, 11) == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert average_precision(precision[:2], recall[:2], 11) == pytest.approx(6 / 11)


def test_table_has_darknets_words():
    probs = np.array([[0.9, 0]], np.float32)
    box = np.array([[0.5, 0.5, 0.2, 0.2]], np.float32)
    row = np.array([[0, 0.5, 0.5, 0.2, 0.2]], np.float32)
    report = evaluate([match(box, probs, row)], 2, iou_thresh=0.75, points=101)
    assert list(table(report, ["a", "b c"])) == [
        "",
        " detections_count = 1, unique_truth_count = 1  ",
        "class_id = 0, name = a, ap = 100.00%   \t (TP = 1, FP = 0) ",
        "class_id = 1, name = b c, ap = 0.00%   \t (TP = 0, FP = 0) ",
        "",
        " for conf_thresh = 0.25, precision = 1.00, recall = 1.00, F1-score = 1.00 ",
        " for conf_thresh = 0.25, TP = 1, FP = 0, FN = 0, average IoU = 100.00 % ",
        "",
        " IoU threshold = 75 %, used 101 Recall-points ",
        " mean average precision (mAP@0.75) = 0.500000, or 50.00 % ",
    ]
