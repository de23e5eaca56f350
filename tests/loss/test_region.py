import math
from pathlib import Path

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.layers import Shape
from darkpy.layers.region import Region
from darkpy.loss import LOSSES, Moment
from darkpy.tree import ClassMap
from tests.layers.gradient import run
from tests.loss.descent import descend

ZOO = str(Path(__file__).parents[1] / "layers" / "zoo.tree")  # 2 roots, the first with 3 children
PARENTS, GROUPS = (-1, -1, 0, 0, 0), ((0, 1), (0, 1), (2, 3, 4), (2, 3, 4), (2, 3, 4))
IMAGE = Shape(3, 96, 128)
LATE = 12800  # the warm-up is over
H, W = 3, 4
ANCHORS = (0.9, 1.2, 2.5, 1.1, 1.4, 2.8)
SMALL = {"num": 3, "classes": 5, "anchors": ANCHORS, "thresh": 0.2}


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def iou(a, b):
    wide = min(a[0] + a[2] / 2, b[0] + b[2] / 2) - max(a[0] - a[2] / 2, b[0] - b[2] / 2)
    high = min(a[1] + a[3] / 2, b[1] + b[3] / 2) - max(a[1] - a[3] / 2, b[1] - b[3] / 2)
    both = wide * high if wide > 0 and high > 0 else 0
    return both / (a[2] * a[3] + b[2] * b[3] - both) if both else 0


class Slow:
    """The specification, number by number, for one picture: y and delta (h, w, num, entries)."""

    def __init__(self, layer, y):
        self.layer, self.y, self.delta, self.ious = layer, y, np.zeros(y.shape), []

    def priors(self, n):
        return ANCHORS[2 * n], ANCHORS[2 * n + 1]

    def box(self, j, i, n):
        x, y, w, h = self.y[j, i, n, :4]
        pw, ph = self.priors(n)
        centre = (i + sigmoid(x)) / W, (j + sigmoid(y)) / H
        return *centre, math.exp(w) * pw / W, math.exp(h) * ph / H

    def pull(self, j, i, n, truth, scale):
        x, y, w, h = self.y[j, i, n, :4]
        pw, ph = self.priors(n)
        sx, sy = sigmoid(x), sigmoid(y)
        delta = self.delta[j, i, n]
        delta[0] = scale * (truth[0] * W - i - sx) * sx * (1 - sx)
        delta[1] = scale * (truth[1] * H - j - sy) * sy * (1 - sy)
        delta[2] = scale * (math.log(truth[2] * W / pw) - w)
        delta[3] = scale * (math.log(truth[3] * H / ph) - h)

    def classify(self, j, i, n, k, scale):
        p, delta = self.y[j, i, n, 5:], self.delta[j, i, n, 5:]
        if self.layer.tree:
            while k >= 0:
                for one in GROUPS[k]:
                    delta[one] = scale * ((one == k) - p[one])
                k = PARENTS[k]
            return
        focal = 1.0
        if self.layer.focal_loss:
            focal = 0.5 * -(1 - p[k]) * (2 * p[k] * math.log(p[k]) + p[k] - 1)
        for one in range(len(p)):
            delta[one] = scale * ((one == k) - p[one]) * focal

    def cell(self, j, i, n, truths, early):
        layer, p, best, name = self.layer, self.y[j, i, n, 4], 0, -1
        for k, *truth in truths:
            overlap = iou(self.box(j, i, n), truth)
            if overlap > best:
                best, name = overlap, int(k)
        self.delta[j, i, n, 4] = layer.noobject_scale * (0 - p) * p * (1 - p)
        if layer.classfix == -1:
            self.delta[j, i, n, 4] = layer.noobject_scale * (best - p) * p * (1 - p)
        elif best > layer.thresh:
            self.delta[j, i, n, 4] = 0
            if layer.classfix > 0:
                share = p if layer.classfix == 2 else 1
                self.classify(j, i, n, name, layer.class_scale * share)
        if early:
            pw, ph = self.priors(n)
            self.pull(j, i, n, ((i + 0.5) / W, (j + 0.5) / H, pw / W, ph / H), 0.01)

    def assign(self, k, truth):
        layer, i, j = self.layer, int(truth[0] * W), int(truth[1] * H)
        fits = []
        for n in range(layer.num):
            pw, ph = self.priors(n)
            size = (pw / W, ph / H) if layer.bias_match else self.box(j, i, n)[2:]
            fits.append(iou((0, 0, *size), (0, 0, *truth[2:])))
        n = fits.index(max(fits))
        overlap = iou(self.box(j, i, n), truth)
        self.ious.append(overlap)
        self.pull(j, i, n, truth, layer.coord_scale)
        p = self.y[j, i, n, 4]
        aim = overlap if layer.rescore else 1
        self.delta[j, i, n, 4] = layer.object_scale * (aim - p) * p * (1 - p)
        k = layer.map[int(k)] if layer.map else int(k)
        self.classify(j, i, n, k, layer.class_scale)

    def picture(self, truths, early):
        if self.layer.tree:
            for k, x, y, *_ in truths:
                if x > 100000 and y > 100000:
                    return self.surest(int(k))
        truths = [truth for truth in truths if truth[0] < self.layer.classes]
        for j, i, n in np.ndindex(H, W, self.layer.num):
            self.cell(j, i, n, truths, early)
        for k, *truth in truths:
            self.assign(k, truth)

    def surest(self, k):
        best, at = 0, (0, 0, 0)
        for place in np.ndindex(H, W, self.layer.num):
            p, above = self.y[place][4], k
            while above >= 0:
                p *= self.y[place][5 + above]
                above = PARENTS[above]
            if p > best:
                best, at = p, place
        self.classify(*at, k, self.layer.class_scale)


def slow(layer, y, truths, early):
    """Return gradient, cost, its three parts, count and mean IoU by the transcription."""
    delta, ious = [], []
    for picture, boxes in zip(y, truths, strict=True):
        one = Slow(layer, picture.reshape(H, W, layer.num, -1).astype(float))
        one.picture(boxes[: layer.max].tolist(), early)
        delta.append(one.delta)
        ious += one.ious
    delta = np.array(delta)
    parts = [(delta[..., at] ** 2).sum() for at in (slice(4), 4, slice(5, None))]
    mean = sum(ious) / len(ious) if ious else math.nan
    return -delta.reshape(y.shape), [(delta**2).sum(), *parts, len(ious), mean]


def output(layer, rng, n=2):
    """Draw what a head puts out in training; float32."""
    return run(layer, rng.normal(0, 0.8, (n, 30, H, W)).astype(np.float32), train=True)[1]


def truths(rng, *counts, classes=5):
    """Draw truths: one array a picture, (count, 5) float32."""
    drawn = []
    for count in counts:
        centres, sizes = rng.uniform(0.05, 0.95, (count, 2)), rng.uniform(0.1, 0.7, (count, 2))
        drawn.append(np.column_stack([rng.integers(0, classes, count), centres, sizes]))
    return [boxes.astype(np.float32) for boxes in drawn]


def lost(layer, y, boxes, seen=LATE):
    return LOSSES["region"](ops("reference"), layer, y, boxes, Moment(IMAGE, seen=seen))


def check(layer, y, boxes, seen=LATE):
    """Compare with the transcription; return the loss."""
    got = lost(layer, y, boxes, seen)
    gradient, figures = slow(layer, y, boxes, seen < 12800)
    assert got.gradient.shape == y.shape and got.gradient.dtype == np.float32
    np.testing.assert_allclose(got.gradient, gradient, rtol=1e-4, atol=2e-6)
    parts = [got.cost, got.box, got.objectness, got.classification, got.count, got.iou]
    np.testing.assert_allclose(parts, figures, rtol=1e-4)
    return got


KEYS = [
    {"coord_scale": 3.0},
    {"object_scale": 5.0},
    {"noobject_scale": 0.5},
    {"class_scale": 2.0},
    {"thresh": 0.6},
    {"bias_match": True},
    {"rescore": True},
    {"classfix": -1},
    {"classfix": 1},
    {"classfix": 2},
    {"softmax": True},
    {"softmax": True, "focal_loss": True},
    {"tree": ZOO},
    {"tree": ZOO, "classfix": 1},
    {"max": 2},
    {"map": ClassMap((4, 3, 2, 1, 0))},
]


@pytest.mark.parametrize("keys", KEYS, ids=str)
def test_every_key_acts_as_the_specification_says(keys, rng):
    layer = Region(**{**SMALL, **keys})
    of_output = {name: keys[name] for name in ("softmax", "tree") if len(keys) > 1 and name in keys}
    y, boxes = output(layer, rng), truths(rng, 5, 3)
    got = check(layer, y, boxes)
    if keys != {"softmax": True}:  # which acts in the output alone
        without = lost(Region(**SMALL, **of_output), y, boxes)
        assert np.abs(got.gradient - without.gradient).max() > 1e-4


def test_boxes_are_pulled_to_the_anchors_in_the_first_pictures(rng):
    layer = Region(**SMALL)
    y, boxes = output(layer, rng), truths(rng, 2, 1)
    early = check(layer, y, boxes, seen=LATE - 1)
    assert early.box > check(layer, y, boxes, seen=LATE).box


def test_of_two_truths_for_a_box_the_later_counts(rng):
    layer = Region(**SMALL, bias_match=True)
    y = output(layer, rng, n=1)
    first, second = [1, 0.4, 0.4, 0.22, 0.4], [3, 0.41, 0.42, 0.23, 0.41]
    both = check(layer, y, [np.array([first, second], np.float32)])
    alone = check(layer, y, [np.array([second], np.float32)])
    np.testing.assert_array_equal(both.gradient[0, -15:], alone.gradient[0, -15:])
    assert both.count == 2 and alone.count == 1


def test_in_a_tree_the_groups_beside_the_path_are_left_alone(rng):
    layer = Region(**SMALL, tree=ZOO)
    y = output(layer, rng, n=1)
    plant = check(layer, y, [np.array([[1, 0.4, 0.4, 0.3, 0.4]], np.float32)])
    classes = plant.gradient.reshape(-1, 10)[:, 5:]
    assert classes[:, :2].any() and not classes[:, 2:].any()
    dog = check(layer, y, [np.array([[3, 0.4, 0.4, 0.3, 0.4]], np.float32)])
    assert dog.gradient.reshape(-1, 10)[:, 5:].any(0).all()


def test_a_class_without_a_place_is_taught_to_the_box_that_is_surest_of_it(rng):
    layer = Region(**SMALL, tree=ZOO, map=ClassMap((1, 1)))  # which is not for such a class
    y, (boxes, others) = output(layer, rng), truths(rng, 2, 2, classes=2)
    boxes[1] = (4, 999999, 999999, 0.5, 0.5)
    got = check(layer, y, [boxes, others])
    own = got.gradient[0].reshape(-1, 10)
    assert np.count_nonzero(own.any(1)) == 1 and not own[:, :5].any() and got.count == 2
    flat = lost(Region(**SMALL), y, [boxes, others])  # there is no such thing without a tree
    assert flat.count == 3


def test_truths_of_classes_or_places_that_there_are_not_are_left_out(rng):
    layer = Region(**SMALL)
    y, (boxes,) = output(layer, rng, n=1), truths(rng, 2)
    wrong = np.array(
        [
            *([5, 0.5, 0.5, 0.2, 0.2], [-1, 0.5, 0.5, 0.2, 0.2]),
            *([1, 0.0, 0.5, 0.2, 0.2], [1, 0.5, 1.1, 0.2, 0.2]),
            *([1, 0.5, 0.5, 0.0, 0.2], [1, 0.5, 0.5, 0.2, np.nan]),
        ],
        np.float32,
    )
    want, got = check(layer, y, [boxes]), lost(layer, y, [np.concatenate([wrong, boxes])])
    np.testing.assert_array_equal(got.gradient, want.gradient)
    assert got.count == 2 and got.iou == want.iou
    mapped = lost(Region(**SMALL, map=ClassMap((0, 1))), y, [np.array([[2, 0.5, 0.5, 0.2, 0.2]])])
    assert mapped.count == 0


def test_the_border_of_the_picture_is_in_its_last_cell(rng):
    layer = Region(**SMALL)
    y = output(layer, rng, n=1)
    got = lost(layer, y, [np.array([[0, 1, 1, 0.3, 0.3]], np.float32)])
    assert got.count == 1 and got.gradient.reshape(H * W, 3, 10)[-1, :, :4].any()


def test_a_picture_without_truths_teaches_that_it_is_empty(rng):
    layer = Region(**SMALL)
    got = check(layer, output(layer, rng), truths(rng, 0, 0))
    assert got.box == got.classification == got.count == 0 < got.objectness


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e30])
def test_any_prediction_is_survived(value, rng):
    layer = Region(**SMALL, classfix=1)
    y, boxes = output(layer, rng), truths(rng, 3, 3)
    y.flat[::7] = value
    assert lost(layer, y, boxes).count == 6


def test_the_way_back_is_in_the_order_of_the_input(rng):
    layer = Region(**SMALL)
    ctx, _ = run(layer, rng.normal(0, 1, (2, 30, H, W)), train=True)
    dy = rng.normal(0, 1, (2, 30, H, W))
    (dx,) = layer.backward(ctx, dy)
    want = dy.reshape(2, H, W, 3, 10)
    for image, a, entry, j, i in np.ndindex(2, 3, 10, H, W):
        assert dx[image, 10 * a + entry, j, i] == want[image, j, i, a, entry]


@pytest.mark.parametrize("keys", ["softmax=1 rescore=1 bias_match=1", f"tree={ZOO}"])
def test_a_tiny_network_learns_its_pictures(keys, tmp_path, rng):
    anchors = ",".join(map(str, ANCHORS))
    head = f"[region]\nnum=3\nclasses=5\nanchors={anchors}\nobject_scale=5\n"
    boxes = truths(rng, 2, 1)
    before, after = descend(tmp_path, 30, head + "\n".join(keys.split()), boxes, rng)
    assert after < 0.1 * before
