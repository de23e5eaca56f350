import numpy as np
import pytest

from darkpy.evaluate.recall import Recall

BOXES = np.array([[0.3, 0.3, 0.2, 0.2], [0.31, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]], np.float32)


def test_lines():
    counts = Recall()
    counts.add(BOXES[::2], np.array([[5, 0.3, 0.3, 0.2, 0.2], [0, 0.5, 0.1, 0.1, 0.1]], np.float32))
    assert counts.line(0) == "    0     1     2\tRPs/Img: 2.00\tIOU: 50.00%\tRecall:50.00%"
    counts.add(BOXES[:0], np.array([[0, 0.3, 0.3, 0.2, 0.2]], np.float32))
    assert counts.line(1) == "    1     1     3\tRPs/Img: 1.00\tIOU: 33.33%\tRecall:33.33%"


def test_overlap_of_each_object_is_the_best():
    counts = Recall()
    counts.add(BOXES, np.array([[0, 0.31, 0.3, 0.2, 0.2]], np.float32))
    assert counts.overlap == pytest.approx(1)


def test_no_object_at_all():
    counts = Recall()
    counts.add(BOXES, np.zeros((0, 5), np.float32))
    assert counts.line(0) == "    0     0     0\tRPs/Img: 3.00\tIOU: nan%\tRecall:nan%"
