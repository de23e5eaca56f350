import math

import numpy as np
import pytest

from darkpy.decode import DECODE, Candidates, region, suppress, to_detections
from darkpy.errors import NetworkError
from darkpy.kernels import ops
from darkpy.layers.detection import Detection
from darkpy.layers.gaussian_yolo import GaussianYolo
from darkpy.layers.region import Region
from darkpy.layers.yolo import Yolo
from darkpy.tree import ClassMap

NET_H, NET_W = 96, 160
H, W = 3, 5
THRESH = 0.3
# The loops below compute in double precision; boxes and probabilities are float32 of about 1.
TOLERANCE = 1e-6


def sigmoid(v):
    return 1 / (1 + math.exp(-v))


def by_loops(cells, anchors, entries):
    """Walk boxes in darknet's order: yield row, column, anchor and a look-up of the entries."""
    for row in range(H):
        for column in range(W):
            for anchor in range(anchors):
                yield row, column, anchor, lambda e, at=(row, column, anchor): cells(*at, e)


def planar(output, entries):
    """Return the look-up of a planar head: entry e of an anchor at a cell."""
    return lambda row, column, anchor, e: float(output[anchor * entries + e, row, column])


def assert_equal(found, boxes, objectness, probs):
    assert (found.boxes.dtype, found.probs.dtype) == (np.float32, np.float32)
    assert found.objectness.dtype == np.float32
    assert len(boxes) > 3, "a test of nothing"
    np.testing.assert_allclose(found.boxes, boxes, rtol=TOLERANCE, atol=TOLERANCE)
    np.testing.assert_allclose(found.objectness, objectness, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found.probs, probs, rtol=0, atol=TOLERANCE)


def above(p):
    return p if p > THRESH else 0.0


@pytest.mark.parametrize("new_coords", [False, True])
def test_yolo_equals_the_loops(new_coords, rng):
    anchors = (10.0, 14.0, 23.0, 27.0, 37.0, 58.0, 81.0, 82.0)
    head = Yolo(classes=4, num=4, mask=(1, 3), anchors=anchors, new_coords=new_coords)
    output = rng.random((2 * 9, H, W)).astype(np.float32)
    boxes, objectness, probs = [], [], []
    for row, column, anchor, entry in by_loops(planar(output, 9), 2, 9):
        if entry(4) <= THRESH:
            continue
        w, h = anchors[2 * head.mask[anchor] : 2 * head.mask[anchor] + 2]
        grow = (lambda v: 4 * v * v) if new_coords else math.exp
        x, y = (column + entry(0)) / W, (row + entry(1)) / H
        boxes.append([x, y, grow(entry(2)) * w / NET_W, grow(entry(3)) * h / NET_H])
        objectness.append(entry(4))
        probs.append([above(entry(4) * entry(5 + k)) for k in range(4)])
    found = DECODE["yolo"](output, head, NET_H, NET_W, THRESH)
    assert_equal(found, boxes, objectness, probs)


@pytest.mark.parametrize("point", ["center", "left_top", "right_bottom"])
def test_gaussian_yolo_equals_the_loops(point, rng):
    head = GaussianYolo(classes=3, num=2, anchors=(10.0, 14.0, 23.0, 27.0), yolo_point=point)
    output = rng.random((2 * 12, H, W)).astype(np.float32)
    output[[1, 3, 5, 7, 13, 15, 17, 19]] /= 4  # rather sure
    boxes, objectness, probs = [], [], []
    for row, column, anchor, entry in by_loops(planar(output, 12), 2, 12):
        if entry(8) <= THRESH:
            continue
        w = math.exp(entry(4)) * head.anchors[2 * anchor] / NET_W
        h = math.exp(entry(6)) * head.anchors[2 * anchor + 1] / NET_H
        toward = {"center": 0, "left_top": 0.5, "right_bottom": -0.5}[point]
        x, y = (column + entry(0)) / W + toward * w, (row + entry(2)) / H + toward * h
        sure = 1 - sum(entry(e) for e in (1, 3, 5, 7)) / 4
        boxes.append([x, y, w, h])
        objectness.append(entry(8))
        probs.append([above(entry(8) * entry(9 + k) * sure) for k in range(3)])
    found = DECODE["Gaussian_yolo"](output, head, NET_H, NET_W, THRESH)
    assert np.any(found.probs)
    assert_equal(found, boxes, objectness, probs)


def region_output(rng, num, classes):
    """Return an output with its shape, and the look-up of its values, which are in pixel order."""
    values = rng.random((H, W, num, 5 + classes)).astype(np.float32)
    output = values.reshape(num * (5 + classes), H, W)
    return output, lambda row, column, anchor, e: float(values[row, column, anchor, e])


def region_box(head, row, column, anchor, entry):
    w, h = head.anchors[2 * anchor : 2 * anchor + 2]
    x, y = (column + sigmoid(entry(0))) / W, (row + sigmoid(entry(1))) / H
    return [x, y, math.exp(entry(2)) * w / W, math.exp(entry(3)) * h / H]


@pytest.mark.parametrize("classfix", [0, -1])
def test_region_equals_the_loops(classfix, rng):
    head = Region(classes=4, num=2, anchors=(1.0, 2.0, 3.5, 0.7), classfix=classfix)
    output, cells = region_output(rng, 2, 4)
    boxes, objectness, probs = [], [], []
    for row, column, anchor, entry in by_loops(cells, 2, 9):
        scale = entry(4) if classfix == 0 or entry(4) >= 0.5 else 0.0
        found = [above(scale * entry(5 + k)) for k in range(4)]
        if any(found):
            boxes.append(region_box(head, row, column, anchor, entry))
            objectness.append(scale)
            probs.append(found)
    assert_equal(DECODE["region"](output, head, NET_H, NET_W, THRESH), boxes, objectness, probs)


# animal: cat, dog (terrier, collie); thing: car
PARENTS = (-1, -1, 0, 0, 1, 3, 3)
NAMES = ("animal", "thing", "cat", "dog", "car", "terrier", "collie")


@pytest.fixture
def tree(tmp_path):
    """Return the path of the tree of NAMES."""
    path = tmp_path / "x.tree"
    path.write_text("".join(f"{n} {p}\n" for n, p in zip(NAMES, PARENTS, strict=True)))
    return str(path)


def chain(entry, k):
    """Return the probability of a class of the tree: the product up to its root."""
    return entry(5 + k) * (chain(entry, PARENTS[k]) if PARENTS[k] >= 0 else 1)


def test_region_with_a_tree_keeps_the_deepest_class(rng, tree):
    head = Region(classes=7, num=2, anchors=(1.0, 2.0, 3.5, 0.7), softmax=True, tree=tree)
    output, cells = region_output(rng, 2, 7)
    output[...] = output**0.25  # likely ones
    boxes, objectness, probs = [], [], []
    for row, column, anchor, entry in by_loops(cells, 2, 12):
        likely = [k for k in range(7) if chain(entry, k) > 0.5]
        if entry(4) > THRESH and likely:
            boxes.append(region_box(head, row, column, anchor, entry))
            objectness.append(entry(4))
            probs.append([chain(entry, k) if k == likely[-1] else 0 for k in range(7)])
    assert len({int(np.argmax(one)) for one in probs}) > 2
    assert_equal(DECODE["region"](output, head, NET_H, NET_W, THRESH), boxes, objectness, probs)


def test_region_with_a_tree_and_a_map_has_the_maps_classes(rng, tree):
    head = Region(classes=7, num=2, anchors=(1.0, 2.0, 3.5, 0.7), softmax=True, tree=tree)
    class_map = ClassMap((6, 2, 4))
    output, cells = region_output(rng, 2, 7)
    boxes, objectness, probs = [], [], []
    for row, column, anchor, entry in by_loops(cells, 2, 12):
        if entry(4) > THRESH:
            boxes.append(region_box(head, row, column, anchor, entry))
            objectness.append(entry(4))
            probs.append([above(entry(4) * chain(entry, k)) for k in class_map])
    found = region(output, head, NET_H, NET_W, THRESH, class_map)
    assert_equal(found, boxes, objectness, probs)


@pytest.mark.parametrize("sqrt", [False, True])
def test_detection_equals_the_loops(sqrt, rng):
    side, num, classes = 3, 2, 4
    head = Detection(side=side, num=num, classes=classes, coords=4, sqrt=sqrt)
    output = rng.random(side * side * (classes + num * 5)).astype(np.float32)
    values = output.tolist()
    boxes, objectness, probs = [], [], []
    for cell in range(side * side):
        for n in range(num):
            scale = values[side * side * classes + cell * num + n]
            at = side * side * (classes + num) + (cell * num + n) * 4
            x, y, w, h = values[at : at + 4]
            found = [above(scale * values[cell * classes + k]) for k in range(classes)]
            if any(found):
                power = 2 if sqrt else 1
                boxes.append([(x + cell % side) / side, (y + cell // side) / side])
                boxes[-1] += [w**power, h**power]
                objectness.append(scale)
                probs.append(found)
    found = DECODE["detection"](output, head, NET_H, NET_W, THRESH)
    assert_equal(found, boxes, objectness, probs)


def test_a_detection_head_without_four_coordinates_is_refused():
    head = Detection(side=1, num=1, classes=1)
    with pytest.raises(NetworkError, match="coords=1"):
        DECODE["detection"](np.zeros(3, np.float32), head, NET_H, NET_W, THRESH)


HEADS = {
    "yolo": (Yolo(classes=2), 7),
    "Gaussian_yolo": (GaussianYolo(classes=2), 11),
    "region": (Region(classes=2), 7),
}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38])
def test_what_is_not_finite_gives_no_box_and_no_warning(kind, value):
    head, channels = HEADS[kind]
    found = DECODE[kind](np.full((channels, H, W), value, np.float32), head, NET_H, NET_W, THRESH)
    assert np.isfinite(found.boxes).all()
    assert found.probs.shape == (len(found), 2)


def test_the_threshold_is_exceeded_not_reached_and_in_float32():
    output = np.full((6, 1, 1), 0.5, np.float32)
    output[4:] = [[[np.float32(0.3)]], [[1]]]  # float32(.3) is above .3 in double
    head = Yolo(classes=1)
    assert len(DECODE["yolo"](output, head, NET_H, NET_W, 0.3)) == 0
    assert DECODE["yolo"](output, head, NET_H, NET_W, 0.29).probs == [[np.float32(0.3)]]


# Candidates.


def candidates(rng, n=60, classes=4):
    boxes = rng.uniform(0.2, 0.8, (n, 4)).astype(np.float32)
    probs = rng.random((n, classes)).astype(np.float32)
    probs[probs < 0.6] = 0
    probs[rng.random(n) < 0.2] = np.float32(0.75)  # ties
    return Candidates(boxes, probs.max(1), probs)


def test_join_keeps_the_order_of_the_heads(rng):
    parts = [candidates(rng, n) for n in (3, 0, 2)]
    joined = Candidates.join(parts)
    assert len(joined) == 5
    np.testing.assert_array_equal(joined.boxes[3:], parts[2].boxes)
    np.testing.assert_array_equal(joined.probs[:3], parts[0].probs)


def test_heads_of_different_classes_do_not_join(rng):
    with pytest.raises(NetworkError, match="the same classes; they have 4 and 5"):
        Candidates.join([candidates(rng), candidates(rng, classes=5)])


def suppress_by_loops(found, thresh):
    """Walk as box.c:do_nms_sort does: sort the records for each class in turn, and suppress."""
    records = [
        [box.tolist(), probs.tolist()] for box, probs in zip(found.boxes, found.probs, strict=True)
    ]
    for k in range(found.probs.shape[1]):
        records.sort(key=lambda record: -record[1][k])
        for i, (box, probs) in enumerate(records):
            if probs[k] == 0:
                continue
            for other, others in records[i + 1 :]:
                if overlap(box, other) > thresh:
                    others[k] = 0.0
    return [record for record in records if any(record[1])]


def overlap(a, b):
    w = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    h = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    both = max(0, w) * max(0, h)
    return both / (a[2] * a[3] + b[2] * b[3] - both)


@pytest.mark.parametrize("thresh", [0.2, 0.45])
def test_suppress_leaves_what_darknets_loops_leave_in_their_order(thresh, rng):
    found = candidates(rng)
    before = found.probs.copy()
    left = suppress(found, ops("reference"), thresh)
    expected = suppress_by_loops(found, thresh)
    assert 5 < len(expected) < 60
    np.testing.assert_array_equal(left.boxes, np.array([box for box, _ in expected], np.float32))
    np.testing.assert_array_equal(left.probs, np.array([p for _, p in expected], np.float32))
    np.testing.assert_array_equal(found.probs, before)


def test_suppress_passes_the_kind_on():
    boxes = np.array([[0.5, 0.5, 0.4, 0.4], [0.56, 0.5, 0.4, 0.4]], np.float32)  # iou .739
    found = Candidates(boxes, np.ones(2, np.float32), np.array([[0.9], [0.8]], np.float32))
    assert len(suppress(found, ops("reference"), 0.7)) == 1
    assert len(suppress(found, ops("reference"), 0.7, "greedynms")) == 2
    assert len(suppress(found, ops("reference"), 0.7, "diounms", 1.0)) == 1


def test_suppress_by_objectness_whatever_the_class():
    boxes = np.array([[0.3, 0.3, 0.2, 0.2], [0.31, 0.3, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2]])
    objectness = np.array([0.5, 0.6, 0.1], np.float32)
    probs = np.array([[0.5, 0], [0, 0.1], [0, 0]], np.float32)
    found = Candidates(boxes.astype(np.float32), objectness, probs)
    left = suppress(found, ops("reference"), 0.4, "objectness")
    for name in ("boxes", "objectness", "probs"):
        np.testing.assert_array_equal(getattr(left, name), getattr(found, name)[1:])


def test_suppress_of_nothing(rng):
    assert len(suppress(candidates(rng, 0), ops("reference"))) == 0


def test_to_detections_has_an_entry_for_each_class_of_a_box():
    boxes = np.array([[0.5, 0.5, 0.2, 0.4], [0.1, 0.1, 0.4, 0.4]], np.float32)
    probs = np.array([[0.3, 0, 0.9], [0, 0.5, 0.25]], np.float32)
    found = to_detections(
        Candidates(boxes, probs.max(1), probs), ["a", "b", "c"], 0.25, image_w=200, image_h=100
    )
    assert found.class_id.tolist() == [2, 1, 0]
    np.testing.assert_array_equal(found.confidence, np.array([0.9, 0.5, 0.3], np.float32))
    expected = [[80, 30, 120, 70], [-20, -10, 60, 30], [80, 30, 120, 70]]
    np.testing.assert_allclose(found.xyxy, expected, atol=1e-4)  # pixels
    assert found.names == ("a", "b", "c")


def test_to_detections_of_nothing(rng):
    assert len(to_detections(candidates(rng, 0), [], 0.25, 10, 10)) == 0


@pytest.mark.parametrize("thresh", [0, -1])
def test_a_class_that_was_suppressed_is_no_detection_at_any_threshold(thresh, rng):
    found = candidates(rng)
    assert len(to_detections(found, [], thresh, 10, 10)) == np.count_nonzero(found.probs)
