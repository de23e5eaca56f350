import dataclasses
import math

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.layers import Shape
from darkpy.layers.yolo import Yolo
from darkpy.loss import LOSSES, Moment
from darkpy.net import NetOptions
from tests.layers.gradient import run
from tests.loss.descent import descend
from tests.loss.loops import Loops

IMAGE = Shape(3, 48, 64)
H, W = 3, 4
ANCHORS = (6.0, 8.0, 14.0, 10.0, 12.0, 20.0, 30.0, 16.0, 26.0, 30.0)
HEAD = Yolo(num=5, mask=(1, 2, 4), classes=3, anchors=ANCHORS, iou_normalizer=0.5)
TRUTHS = [
    np.array(
        [
            [1, 0.55, 0.52, 0.22, 0.21],
            [2, 0.56, 0.53, 0.23, 0.2],  # to the same box as the first, another class
            [1, 0.57, 0.51, 0.21, 0.22],  # and once more
            [0, 0.3, 0.4, 0.19, 0.42],
            [2, 0.8, 0.7, 0.4, 0.62],
            [0, 0.1, 0.1, 0.09, 0.16],  # to an anchor of another head
            [0, 1, 1, 0.4, 0.6],  # its centre on the last edge
        ],
        np.float32,
    ),
    np.zeros((0, 5), np.float32),
    np.array([[2, 0.45, 0.85, 0.21, 0.2]], np.float32),
]


def predicted(entries, seed=0, spread=0.6):
    """Return what a head puts out, (n, a * entries, h, w): boxes of all sizes, classes of all."""
    rng = np.random.default_rng(seed)
    y = 1 / (1 + np.exp(-rng.normal(-0.5, 1.5, (len(TRUTHS), 3, entries, H, W))))
    y[:, :, -3:, :, 0] *= 0.2  # where no class is likely
    sizes = slice(4, 8, 2) if entries == 12 else slice(2, 4)
    y[:, :, sizes] = rng.normal(0, spread, y[:, :, sizes].shape)
    for _, tx, ty, tw, th in TRUTHS[0][[0, 3, 4]]:  # boxes that lie on truths
        i, j, noise = int(tx * W), int(ty * H), rng.normal(0, 0.1, (4, 3))
        aw, ah = np.reshape(ANCHORS, (5, 2))[[1, 2, 4]].T
        box = tx * W - i + 0 * aw, ty * H - j + 0 * aw, np.log(tw * 64 / aw), np.log(th * 48 / ah)
        y[0, :, slice(0, 8, 2) if entries == 12 else slice(4), j, i] = (box + noise).T
    return y.reshape(len(TRUTHS), 3 * entries, H, W).astype(np.float32)


def check(section, loops, layer, output, truths, moment=None):
    """Compare the loss of both kinds of kernels with the loops; return the loops."""
    want = loops(layer, output, truths, IMAGE.w, IMAGE.h).run()
    parts = want.parts()
    for device in ("reference", "cpu"):
        before = output.copy()
        loss = LOSSES[section](ops(device), layer, output, truths, moment or Moment(IMAGE))
        np.testing.assert_array_equal(output, before)
        assert loss.gradient.shape == output.shape and loss.gradient.dtype == np.float32
        # float32 of some ten operations, where slopes go up to ten
        delta = want.delta.reshape(output.shape) * layer.delta_normalizer
        np.testing.assert_allclose(-loss.gradient, delta, rtol=2e-5, atol=5e-6)
        got = loss.box, loss.objectness, loss.classification
        np.testing.assert_allclose(got, parts, rtol=2e-5)
        assert loss.cost == pytest.approx(sum(parts), rel=2e-5)
        assert loss.count == len(want.ious)
        mean = np.mean(want.ious) if want.ious else math.nan
        assert loss.iou == pytest.approx(mean, rel=2e-5, abs=1e-7, nan_ok=True)
    return want


KEYS = [
    ({"iou_normalizer": 0.07}, {}),
    ({"obj_normalizer": 0.4}, {}),
    ({"obj_normalizer": 0.4}, {"iou_loss": "giou"}),
    ({"ignore_thresh": 0.25}, {}),
    ({"truth_thresh": 0.4}, {}),
    ({"truth_thresh": 0.4}, {"iou_loss": "ciou", "objectness_smooth": True}),
    ({"iou_thresh": 0.3}, {}),
    ({"iou_thresh": 0.3}, {"iou_loss": "ciou", "truth_thresh": 0.4}),
    ({"iou_thresh_kind": "giou"}, {"iou_thresh": 0.35}),
    ({"iou_thresh_kind": "ciou"}, {"iou_thresh": 0.46}),
    *(({"iou_loss": kind}, {}) for kind in ("iou", "giou", "diou", "ciou")),
    *(({"iou_loss": kind}, {"new_coords": True}) for kind in ("giou", "ciou")),
    ({"max_delta": 0.3}, {"iou_loss": "giou"}),
    ({"new_coords": True}, {}),
    ({"objectness_smooth": True}, {"ignore_thresh": 0.2}),
    ({"objectness_smooth": True}, {"truth_thresh": 0.4}),
    ({"label_smooth_eps": 0.1}, {}),
    ({"label_smooth_eps": 0.1}, {"iou_thresh": 0.3}),
    ({"focal_loss": True}, {}),
    ({"counters_per_class": (100, 0, 25)}, {}),
    ({"max_delta": 3.0}, {"counters_per_class": (100, 0, 25)}),
    ({"cls_normalizer": 0.3}, {"counters_per_class": (100, 50, 25)}),
    ({"counters_per_class": (9, 3, 1)}, {"objectness_smooth": True, "truth_thresh": 0.4}),
    ({"delta_normalizer": 0.5}, {}),
    ({"show_details": False}, {"iou_loss": "ciou"}),
    ({"max": 2}, {}),
    ({"map": (2, 0, 2)}, {}),
    ({"map": (2, 0, 2)}, {"truth_thresh": 0.4}),
    ({"mask": (0, 4, 3)}, {}),
    ({"num": 2, "mask": (0, 1, 1)}, {}),
]


def differ(one, other):
    return one.parts() != pytest.approx(other.parts(), rel=1e-4) or not np.allclose(
        one.delta, other.delta, rtol=1e-4
    )


@pytest.mark.parametrize(("key", "others"), KEYS, ids=str)
def test_every_key_acts_as_in_the_slow_loops(key, others):
    layer = dataclasses.replace(HEAD, **others)
    output = predicted(8)
    without = Loops(layer, output, TRUTHS, IMAGE.w, IMAGE.h).run()
    want = check("yolo", Loops, dataclasses.replace(layer, **key), output, TRUTHS)
    if "delta_normalizer" in key:
        return  # `check` multiplies by it
    assert differ(want, without), "the key changes nothing"


def test_cls_normalizer_counts_only_beside_counters_per_class():
    """It is a slip of darknet's, and its numbers."""
    output, moment = predicted(8), Moment(IMAGE)
    plain, other = (
        LOSSES["yolo"](ops("cpu"), layer, output, TRUTHS, moment)
        for layer in (HEAD, dataclasses.replace(HEAD, cls_normalizer=0.3))
    )
    np.testing.assert_array_equal(plain.gradient, other.gradient)


@pytest.mark.parametrize("iou_loss", ["mse", "giou", "ciou"])
@pytest.mark.parametrize("seed", range(3))
def test_drawn_heads(iou_loss, seed):
    rng = np.random.default_rng(seed)
    truths = []
    for _ in TRUTHS:
        place, size = rng.uniform(0.01, 1, (9, 2)), rng.uniform(0.03, 0.7, (9, 2))
        classes = rng.integers(0, 3, (9, 1))
        truths.append(np.hstack([classes, place, size]).astype(np.float32))
    layer = dataclasses.replace(HEAD, iou_loss=iou_loss, iou_thresh=0.213, ignore_thresh=0.3)
    check("yolo", Loops, layer, predicted(8, seed + 1, 1), truths)


def test_scale_x_y_has_no_slope():
    """Of x and y neither the stretch nor the logistic function is differentiated."""
    x = np.random.default_rng(0).normal(0, 1, (1, 24, H, W)).astype(np.float32)
    layer = dataclasses.replace(HEAD, scale_x_y=2.0)
    ctx, y = run(layer, x, train=True)
    loss = LOSSES["yolo"](ctx.ops, layer, y, TRUTHS[:1], Moment(IMAGE))
    (dx,) = layer.backward(ctx, loss.gradient)
    want = Loops(layer, y, TRUTHS[:1], IMAGE.w, IMAGE.h).run()
    np.testing.assert_allclose(dx, -want.delta.reshape(y.shape), rtol=2e-5, atol=5e-6)


def test_the_size_of_the_input_counts():
    output = predicted(8)
    one, two = (
        LOSSES["yolo"](ops("cpu"), HEAD, output, TRUTHS, Moment(image)).cost
        for image in (IMAGE, Shape(3, 96, 128))
    )
    assert one != pytest.approx(two, rel=0.01)


@pytest.mark.parametrize(
    "row",
    [
        (3, 0.5, 0.5, 0.2, 0.2),
        (-1, 0.5, 0.5, 0.2, 0.2),
        (0, 0, 0.5, 0.2, 0.2),
        (0, 1.2, 0.5, 0.2, 0.2),
        (0, 0.5, -0.1, 0.2, 0.2),
        (0, 0.5, 0.5, 0, 0.2),
        (0, 0.5, 0.5, 0.2, -0.2),
        (0, math.nan, 0.5, 0.2, 0.2),
    ],
)
def test_truths_that_cannot_be_are_left_out(row):
    output = predicted(8)
    with_it = [np.vstack([TRUTHS[0], np.float32([row])]), *TRUTHS[1:]]
    one, two = (
        LOSSES["yolo"](ops("cpu"), HEAD, output, truths, Moment(IMAGE))
        for truths in (TRUTHS, with_it)
    )
    assert (one.cost, one.count) == (two.cost, two.count)
    np.testing.assert_array_equal(one.gradient, two.gradient)


@pytest.mark.parametrize("iou_loss", ["mse", "giou", "ciou"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e38, 0.0])
@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_any_prediction_is_borne(iou_loss, value, device):
    layer = dataclasses.replace(HEAD, iou_loss=iou_loss, objectness_smooth=True, truth_thresh=0.1)
    output = predicted(8)
    output.reshape(len(TRUTHS), 3, 8, H, W)[:, :, :5, 1:] = value
    loss = LOSSES["yolo"](ops(device), layer, output, TRUTHS, Moment(IMAGE))
    boxes = loss.gradient.reshape(len(TRUTHS), 3, 8, H, W)[:, :, :4]
    assert iou_loss == "mse" or np.isfinite(boxes).all()


def test_a_head_without_truths_learns_that_all_is_empty():
    output = predicted(8)
    none = [np.zeros((0, 5), np.float32)] * len(TRUTHS)
    want = check("yolo", Loops, HEAD, output, none)
    assert not want.ious
    np.testing.assert_array_equal(want.delta[:, :, 4], -want.y[:, :, 4])


REJECTIONS = {
    "num_sigmas_reject_badlabels": 0.5,
    "badlabels_rejection_percentage": 200.0,
    "equidistant_point": 40,
}


class SlowRejection:
    """Darknet's tricks in plain loops, over the deltas of one head after the other."""

    def __init__(self):
        self.top = self.mean = self.std = self.threshold = 0.0

    def apply(self, delta, o, now, entries):
        flat, start = delta.reshape(-1), o.max_batches * 3 // 4
        late = start < now
        progress = (now - o.equidistant_point) / (o.max_batches - o.equidistant_point)
        low = self.mean * progress * 1.4
        sizes = [abs(v) for v in flat if v]
        self.top = (self.top or max(sizes)) * 0.99 + max(sizes) * 0.01
        self.mean = self.mean * 0.99 + sum(sizes) / len(sizes) * 0.01
        if o.num_sigmas_reject_badlabels and late:
            std = self.std
            now_std = math.sqrt(sum((v - self.mean) ** 2 for v in flat if v) / len(sizes))
            self.std = std * 0.99 + now_std * 0.01
            final = self.mean + std * o.num_sigmas_reject_badlabels
            high = max(final, self.top - (now - start) / start * abs(self.top - final))
            flat[np.abs(flat) > high] = 0
            low = min(final, self.mean) * progress
        if o.badlabels_rejection_percentage and late:
            self.threshold = self.threshold or self.top
            count = sum(1 for v in flat if v)
            gone = sum(1 for v in flat if abs(v) > self.threshold)
            flat[np.abs(flat) > self.threshold] = 0
            over = 100 * gone * entries / count > o.badlabels_rejection_percentage
            self.threshold += 0.01 if over else -0.01
        if o.equidistant_point and o.equidistant_point < now:
            flat[np.abs(flat) < low] = 0


@pytest.mark.parametrize(
    "names", [*((name,) for name in REJECTIONS), tuple(REJECTIONS)], ids="+".join
)
def test_deltas_of_bad_labels_are_rejected_late(names):
    options = NetOptions(max_batches=100, **{name: REJECTIONS[name] for name in names})
    slow, first = SlowRejection(), Moment(IMAGE, options)
    rejected = 0
    for now in range(38, 96, 3):
        output = predicted(8, seed=now)
        moment = dataclasses.replace(first, iteration=now)
        loss = LOSSES["yolo"](ops("cpu"), HEAD, output, TRUTHS, moment)
        want = Loops(HEAD, output, TRUTHS, IMAGE.w, IMAGE.h).run()
        count = np.count_nonzero(want.delta)
        if now > 75 or (now > 40 and "equidistant_point" in names):
            slow.apply(want.delta, options, now, 8)
        rejected += count - np.count_nonzero(want.delta)
        np.testing.assert_allclose(
            -loss.gradient, want.delta.reshape(output.shape), rtol=2e-5, atol=5e-6
        )
        assert loss.cost == pytest.approx(sum(want.parts()), rel=1e-4)
    assert rejected > 0


@pytest.mark.parametrize("iou_loss", ["mse", "ciou"])
def test_a_tiny_network_learns_its_pictures(tmp_path, rng, iou_loss):
    head = "[yolo]\nclasses=3\nnum=2\nanchors=5,5,9,8\n" + f"iou_loss={iou_loss}\n"
    truths = [np.array([[k, 0.3 + 0.2 * k, 0.5, 0.5, 0.6]], np.float32) for k in range(3)]
    before, after = descend(tmp_path, 16, head, truths, rng)
    assert after < 0.2 * before


def test_a_box_that_ran_away_does_not_make_the_weights_infinite():
    """darknet's slopes of CIoU times e^w grow without end; they are cut far above what is usual."""
    layer = Yolo(classes=1, num=1, anchors=(12, 18), iou_loss="ciou", iou_normalizer=0.07)
    output = np.zeros((1, 6, 20, 20), np.float32)
    output[0, 2], output[0, 3] = -107.5, 84.1  # w and h before their exponential
    truths = [np.array([[0, 0.41, 0.468, 0.193, 0.228]], np.float32)]
    found = LOSSES["yolo"](ops("cpu"), layer, output, truths, Moment(Shape(3, 320, 320)))
    assert np.abs(found.gradient).max() == 100
