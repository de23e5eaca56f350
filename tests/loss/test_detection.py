import math

import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.kernels import ops
from darkpy.layers import Shape
from darkpy.layers.detection import Detection
from darkpy.loss import LOSSES, Moment
from tests.layers.gradient import run
from tests.loss.descent import descend
from tests.loss.test_region import iou

IMAGE = Shape(3, 64, 64)
LATE = 64000  # pictures, after which `random` chooses no more
SIDE, CLASSES, NUM = 3, 4, 2
SMALL = {"side": SIDE, "classes": CLASSES, "num": NUM, "coords": 4}
SIZE = SIDE * SIDE * (CLASSES + 5 * NUM)


def grid(boxes, classes):
    """Return {cell: (class, x, y, w, h)}, x and y in shares of the cell: the first in each."""
    cells = {}
    for k, x, y, w, h in boxes:
        column, row = int(x * SIDE), int(y * SIDE)
        if w >= 0.001 and h >= 0.001 and (row, column) not in cells:
            k = int(k) if k < classes else None
            cells[row, column] = (k, x * SIDE - column, y * SIDE - row, w, h)
    return cells


def fittest(layer, own, truth):
    """Return which of the boxes (num, 4) of a cell is to learn the truth (4,)."""
    if layer.forced:
        return 1 if truth[2] * truth[3] < 0.1 else 0
    best, best_iou, best_rmse = None, 0, 20
    for n, box in enumerate(own):
        overlap = iou(scaled(layer, box), (truth[0] / SIDE, truth[1] / SIDE, *truth[2:]))
        apart = [a - b for a, b in zip(scaled(layer, box), scaled(None, truth), strict=True)]
        rmse = math.sqrt(sum(a * a for a in apart))
        if best_iou > 0 or overlap > 0:
            if overlap > best_iou:
                best, best_iou = n, overlap
        elif rmse < best_rmse:
            best, best_rmse = n, rmse
    return best


def scaled(layer, box):
    x, y, w, h = box
    if layer is not None and layer.sqrt:
        w, h = w * w, h * h
    return x / SIDE, y / SIDE, w, h


def slow(layer, y, truths):
    """Return gradient, cost, its parts, count and mean IoU, number by number."""
    delta, ious = np.zeros((len(y), SIZE)), []
    sure_from, boxes_from = SIDE**2 * CLASSES, SIDE**2 * (CLASSES + NUM)
    for image, boxes in enumerate(truths):
        p, d = y[image].reshape(-1).astype(float), delta[image]
        cells = grid(boxes[: layer.max].tolist(), CLASSES)
        for cell in range(SIDE**2):
            for n in range(NUM):
                at = sure_from + cell * NUM + n
                d[at] = layer.noobject_scale * (0 - p[at])
            if divmod(cell, SIDE) not in cells:
                continue
            k, *truth = cells[divmod(cell, SIDE)]
            for one in range(CLASSES):
                at = cell * CLASSES + one
                d[at] = layer.class_scale * ((one == k) - p[at])
            first = boxes_from + cell * NUM * 4
            n = fittest(layer, p[first : first + 4 * NUM].reshape(NUM, 4), truth)
            box = first + 4 * n
            overlap = iou(scaled(layer, p[box : box + 4]), scaled(None, truth))
            ious.append(overlap)
            at = sure_from + cell * NUM + n
            d[at] = layer.object_scale * ((overlap if layer.rescore else 1) - p[at])
            if layer.sqrt:
                truth[2:] = math.sqrt(truth[2]), math.sqrt(truth[3])
            for entry in range(4):
                d[box + entry] = layer.coord_scale * (truth[entry] - p[box + entry])
    ends = ((boxes_from, SIZE), (sure_from, boxes_from), (0, sure_from))
    parts = [(delta[:, a:b] ** 2).sum() for a, b in ends]
    mean = sum(ious) / len(ious) if ious else math.nan
    return -delta.reshape(y.shape), [(delta**2).sum(), *parts, len(ious), mean]


def output(layer, rng, n=2):
    """Draw what a head puts out; some boxes are far from their cells."""
    x = rng.uniform(0, 1, (n, SIZE, 1, 1)).astype(np.float32)
    x[:, SIDE**2 * (CLASSES + NUM) :: 7] += 9
    return run(layer, x, train=True)[1]


def truths(rng, *counts):
    drawn = []
    for count in counts:
        centres, sizes = rng.uniform(0.02, 0.98, (count, 2)), rng.uniform(0.1, 0.6, (count, 2))
        drawn.append(np.column_stack([rng.integers(0, CLASSES, count), centres, sizes]))
    return [boxes.astype(np.float32) for boxes in drawn]


def lost(layer, y, boxes, seen=LATE, seed=0):
    moment = Moment(IMAGE, seen=seen, seed=seed)
    return LOSSES["detection"](ops("reference"), layer, y, boxes, moment)


def check(layer, y, boxes):
    """Compare with the transcription; return the loss."""
    got = lost(layer, y, boxes)
    gradient, figures = slow(layer, y, boxes)
    assert got.gradient.shape == y.shape and got.gradient.dtype == np.float32
    np.testing.assert_allclose(got.gradient, gradient, rtol=1e-4, atol=2e-6)
    parts = [got.cost, got.box, got.objectness, got.classification, got.count, got.iou]
    np.testing.assert_allclose(parts, figures, rtol=1e-4)
    return got


@pytest.mark.parametrize(
    "keys",
    [
        {"coord_scale": 5.0},
        {"object_scale": 2.0},
        {"noobject_scale": 0.5},
        {"class_scale": 3.0},
        {"sqrt": True},
        {"rescore": True},
        {"forced": True},
        {"softmax": True},
        {"max": 2},
    ],
    ids=str,
)
def test_every_key_acts_as_the_specification_says(keys, rng):
    layer = Detection(**{**SMALL, **keys})
    y, boxes = output(layer, rng), truths(rng, 5, 3)
    got = check(layer, y, boxes)
    if "softmax" not in keys:  # which acts in the output
        assert np.abs(got.gradient - lost(Detection(**SMALL), y, boxes).gradient).max() > 1e-3


def test_where_no_box_overlaps_the_nearest_learns():
    layer = Detection(**SMALL)
    y = np.zeros((1, SIZE, 1, 1), np.float32)
    boxes = y[0, SIDE**2 * (CLASSES + NUM) :, 0, 0].reshape(SIDE**2, NUM, 4)
    boxes[4] = [[9, 9, 0.1, 0.1], [3, 3, 0.1, 0.1]]
    got = check(layer, y, [np.array([[1, 0.5, 0.5, 0.2, 0.2]], np.float32)])
    learned = got.gradient[0, SIDE**2 * (CLASSES + NUM) :, 0, 0].reshape(SIDE**2, NUM, 4)
    assert learned[4, 1].all() and not learned[4, 0].any() and got.iou == 0


def test_a_cell_has_the_first_object_in_it(rng):
    layer = Detection(**SMALL)
    y = output(layer, rng, n=1)
    first, second = [1, 0.4, 0.4, 0.2, 0.3], [2, 0.6, 0.6, 0.3, 0.3]
    both = check(layer, y, [np.array([first, second], np.float32)])
    alone = check(layer, y, [np.array([first], np.float32)])
    np.testing.assert_array_equal(both.gradient, alone.gradient)
    assert both.count == 1


def test_an_object_of_an_unknown_class_has_a_box_and_no_class(rng):
    layer = Detection(**SMALL)
    y = output(layer, rng, n=1)
    got = check(layer, y, [np.array([[CLASSES, 0.4, 0.4, 0.2, 0.3]], np.float32)])
    classes = got.gradient[0, : SIDE**2 * CLASSES].reshape(SIDE**2, CLASSES)
    assert got.count == 1 and (classes[4] > 0).all()


def test_objects_that_are_too_small_or_elsewhere_are_left_out(rng):
    layer = Detection(**SMALL)
    y = output(layer, rng, n=1)
    wrong = [[1, 0.5, 0.5, 0.0009, 0.2], [1, 1.2, 0.5, 0.2, 0.2], [1, 0.5, np.nan, 0.2, 0.2]]
    got = lost(layer, y, [np.array(wrong, np.float32)])
    assert got.count == 0 and not got.gradient[0, : SIDE**2 * CLASSES].any()
    edge = lost(layer, y, [np.array([[1, 1, 1, 0.2, 0.2]], np.float32)])
    assert edge.gradient[0, : SIDE**2 * CLASSES].reshape(SIDE**2, CLASSES)[-1].any()


def test_random_chooses_the_box_in_the_first_pictures(rng):
    layer = Detection(**SMALL, random=1.0)
    y, boxes = output(layer, rng), truths(rng, 6, 6)
    want = lost(layer, y, boxes, seen=LATE)
    early = [lost(layer, y, boxes, seen=seen) for seen in (2, 2, 4, LATE - 1)]
    np.testing.assert_array_equal(early[0].gradient, early[1].gradient)
    for one in early:
        assert one.count == want.count and (one.gradient != want.gradient).any()
    assert (early[0].gradient != early[2].gradient).any()
    assert (early[0].gradient != lost(layer, y, boxes, seen=2, seed=1).gradient).any()


def test_forced_knows_only_the_boxes_there_are(rng):
    layer = Detection(side=3, classes=4, num=1, coords=4, forced=True)
    y = rng.uniform(0, 1, (1, 81, 1, 1)).astype(np.float32)
    got = lost(layer, y, [np.array([[1, 0.5, 0.5, 0.1, 0.1]], np.float32)])
    assert got.count == 1 and got.box > 0


def test_pictures_without_objects_teach_that_they_are_empty(rng):
    layer = Detection(**SMALL)
    got = check(layer, output(layer, rng), truths(rng, 0, 0))
    assert got.box == got.classification == got.count == 0 < got.objectness


@pytest.mark.parametrize("value", [np.inf, np.nan, 1e30])
def test_any_prediction_is_survived(value, rng):
    layer = Detection(**SMALL, sqrt=True)
    y, boxes = output(layer, rng), truths(rng, 3, 3)
    want = lost(layer, y, boxes).count
    y.flat[::3] = value
    assert lost(layer, y, boxes).count == want > 2


def test_boxes_of_other_than_four_numbers_are_refused(rng):
    layer = Detection(side=1, classes=1, num=1, coords=1)
    with pytest.raises(NetworkError, match="coords=1; a box to train has 4"):
        lost(layer, np.zeros((1, 3, 1, 1), np.float32), truths(rng, 1))


@pytest.mark.parametrize("keys", ["sqrt=1 rescore=1", "softmax=1 noobject_scale=.5"])
def test_a_tiny_network_learns_its_pictures(keys, tmp_path, rng):
    head = "[connected]\noutput=36\nactivation=linear\n"
    head += "[detection]\nside=2\nclasses=4\nnum=1\ncoords=4\n" + "\n".join(keys.split())
    before, after = descend(tmp_path, 8, head, truths(rng, 2, 1), rng, rate=0.01)
    assert after < 0.1 * before
