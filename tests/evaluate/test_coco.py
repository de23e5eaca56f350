import sys

import numpy as np
import pytest

from darkpy.errors import DarkpyError
from darkpy.evaluate.coco import MOST, Measured, best, evaluate_coco


def picture(found, truths=((0, 0.5, 0.5, 0.2, 0.4), (2, 0.2, 0.2, 0.1, 0.1))):
    rows = np.array(found, np.float32).reshape(-1, 6)
    return Measured(640, 480, np.array(truths, np.float32).reshape(-1, 5), rows)


def test_perfect_detections():
    pytest.importorskip("pycocotools")
    whole = picture([[0, 0.5, 0.5, 0.2, 0.4, 0.9], [2, 0.2, 0.2, 0.1, 0.1, 0.8]])
    result = evaluate_coco([whole, whole], 3)
    # 64 x 48 px is medium (32^2 to 96^2), 128 x 192 px large; none is small.
    assert result.numbers == pytest.approx([1, 1, 1, -1, 1, 1, 1, 1, 1, -1, 1, 1])
    lines = result.text.splitlines()
    assert len(lines) == 12
    assert lines[0] == (
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 1.000"
    )


def test_a_known_overlap():
    """A box 10 % too wide on both sides has an IoU of 1 / 1.2: right up to .80, wrong from .85."""
    pytest.importorskip("pycocotools")
    wide = picture([[0, 0.5, 0.5, 0.24, 0.4, 0.9]], truths=[[0, 0.5, 0.5, 0.2, 0.4]])
    numbers = evaluate_coco([wide], 1).numbers
    assert numbers[:3] == pytest.approx([0.7, 1, 1])


def test_boxes_are_cut_at_the_edges_of_the_picture():
    pytest.importorskip("pycocotools")
    beyond = picture([[0, 0.0, 0.5, 0.4, 3.0, 0.9]], truths=[[0, 0.1, 0.5, 0.2, 1.0]])
    assert evaluate_coco([beyond], 1).numbers[0] == pytest.approx(1)


@pytest.mark.parametrize("pictures", [[], [picture([], truths=[])], [picture([])]])
def test_nothing_there_or_nothing_found(pictures, capsys):
    pytest.importorskip("pycocotools")
    result = evaluate_coco(pictures, 3)
    assert result.numbers[0] == (0 if pictures and len(pictures[0].truths) else -1)
    assert capsys.readouterr().out == ""


def test_the_best_hundred_of_a_picture(rng):
    probs = rng.random((90, 3)).astype(np.float32)
    probs[:, 1] = 0
    boxes = rng.random((90, 4)).astype(np.float32)
    rows = best(boxes, probs)
    assert rows.shape == (MOST, 6) and rows.dtype == np.float32
    assert (np.diff(rows[:, 5]) <= 0).all()
    assert rows[-1, 5] == np.sort(probs, axis=None)[-MOST]
    at = np.argwhere(probs == rows[0, 5])[0]
    np.testing.assert_array_equal(rows[0], [at[1], *boxes[at[0]], probs[tuple(at)]])


def test_without_pycocotools(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    monkeypatch.delitem(sys.modules, "pycocotools.cocoeval", raising=False)
    with pytest.raises(DarkpyError, match=r"pip install 'darkpy-yolo\[coco\]'"):
        evaluate_coco([], 1)
