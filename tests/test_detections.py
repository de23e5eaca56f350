import numpy as np
import pytest

from darkpy import Detections
from darkpy.errors import DarkpyError

BOXES = [[0, 0, 10, 20], [5, 5, 6, 6], [1, 2, 3, 4]]


@pytest.fixture
def found():
    return Detections(BOXES, [0.9, 0.8, 0.3], [1, 0, 7], ["cat", "dog"])


def test_fields_have_their_types(found):
    assert len(found) == 3
    assert (found.xyxy.shape, found.xyxy.dtype) == ((3, 4), np.float32)
    assert (found.confidence.shape, found.confidence.dtype) == ((3,), np.float32)
    assert (found.class_id.shape, found.class_id.dtype) == ((3,), np.int32)
    assert found.names == ("cat", "dog")


def test_arrays_of_the_right_type_are_not_copied():
    xyxy = np.zeros((1, 4), np.float32)
    assert Detections(xyxy, [0.5], [0]).xyxy is xyxy


def test_walking(found):
    walked = [(box.tolist(), confidence, name) for box, confidence, name in found]
    assert [name for _, _, name in walked] == ["dog", "cat", "7"]
    assert [box for box, _, _ in walked] == BOXES
    assert [type(confidence) for _, confidence, _ in walked] == [float] * 3
    assert [round(confidence, 6) for _, confidence, _ in walked] == [0.9, 0.8, 0.3]


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (np.array([True, False, True]), [1, 7]),
        ([False, True, False], [0]),
        (np.zeros(3, bool), []),
        (slice(1, None), [0, 7]),
        (slice(None, None, -1), [7, 0, 1]),
        (np.array([2, 0]), [7, 1]),
        ([], []),
        (1, [0]),
        (-1, [7]),
        (np.int64(0), [1]),
    ],
)
def test_indexing_gives_detections(found, index, expected):
    some = found[index]
    assert isinstance(some, Detections)
    assert some.class_id.tolist() == expected
    assert some.xyxy.shape == (len(expected), 4)
    assert some.names == found.names


@pytest.mark.parametrize("index", [3, -4, np.array([True, False])])
def test_an_index_beyond_is_an_index_error(found, index):
    with pytest.raises(IndexError):
        found[index]


def test_choosing_a_class(found):
    assert [name for _, _, name in found[found.class_id == 0]] == ["cat"]


def test_empty():
    none = Detections.empty(("cat",))
    assert (len(none), none.xyxy.shape, none.names, list(none)) == (0, (0, 4), ("cat",), [])
    assert len(none[none.confidence > 0.5]) == 0


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([[0, 0, 1]], [0.5], [0]), r"xyxy: expected shape \(1, 4\), got \(1, 3\)"),
        (([0, 0, 1, 1], [0.5], [0]), r"xyxy: expected shape \(1, 4\), got \(4,\)"),
        ((BOXES, [0.5], [0, 1, 2]), r"confidence: expected shape \(3,\), got \(1,\)"),
        ((BOXES, [0.5] * 3, 0), r"xyxy: expected shape \(0, 4\), got \(3, 4\)"),
        ((BOXES, [0.5] * 3, [[0, 1, 2]]), r"xyxy: expected shape \(1, 4\), got \(3, 4\)"),
        (([], [], [[]]), r"xyxy: expected shape \(1, 4\)"),
        ((BOXES, ["a"] * 3, [0, 1, 2]), "confidence: expected float32, got"),
        ((BOXES, [0.5] * 3, [0, 1, 2**40]), "class_id: expected int32, got"),
        ((BOXES, [0.5] * 3, [0, 1, 2], (1, 2)), "names: expected words"),
    ],
)
def test_a_wrong_field_is_named(fields, message):
    with pytest.raises(DarkpyError, match=r"Detections\." + message):
        Detections(*fields)
