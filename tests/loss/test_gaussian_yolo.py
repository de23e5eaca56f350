import dataclasses
import math

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.layers.gaussian_yolo import GaussianYolo
from darkpy.loss import LOSSES, Moment
from tests.layers.gradient import run
from tests.loss.descent import descend
from tests.loss.loops import GaussianLoops
from tests.loss.test_yolo import ANCHORS, IMAGE, TRUTHS, H, W, check, differ, predicted

HEAD = GaussianYolo(num=5, mask=(1, 2, 4), classes=3, anchors=ANCHORS, iou_normalizer=0.5)
KEYS = [
    ({"iou_normalizer": 0.07}, {}),
    ({"uc_normalizer": 0.3}, {}),
    ({"uc_normalizer": 0.3}, {"iou_loss": "ciou"}),
    ({"obj_normalizer": 0.4}, {}),
    ({"ignore_thresh": 0.25}, {}),
    ({"truth_thresh": 0.4}, {}),
    ({"iou_thresh": 0.3}, {}),
    ({"iou_thresh_kind": "ciou"}, {"iou_thresh": 0.46}),
    *(({"iou_loss": kind}, {}) for kind in ("iou", "giou", "diou", "ciou")),
    *(({"yolo_point": point}, {}) for point in ("left_top", "right_bottom")),
    *(({"yolo_point": point}, {"iou_loss": "ciou"}) for point in ("left_top", "right_bottom")),
    ({"max_delta": 0.3}, {}),
    ({"objectness_smooth": True}, {"ignore_thresh": 0.2}),
    ({"objectness_smooth": True}, {"truth_thresh": 0.4}),
    ({"label_smooth_eps": 0.1}, {}),
    ({"counters_per_class": (100, 0, 25)}, {}),
    ({"cls_normalizer": 0.3}, {"counters_per_class": (100, 50, 25)}),
    ({"delta_normalizer": 0.5}, {}),
    ({"max": 2}, {}),
    ({"map": (2, 0, 2)}, {}),
]


@pytest.mark.parametrize(("key", "others"), KEYS, ids=str)
def test_every_key_acts_as_in_the_slow_loops(key, others):
    layer = dataclasses.replace(HEAD, **others)
    output = predicted(12)
    without = GaussianLoops(layer, output, TRUTHS, IMAGE.w, IMAGE.h).run()
    want = check("Gaussian_yolo", GaussianLoops, dataclasses.replace(layer, **key), output, TRUTHS)
    if "delta_normalizer" in key:
        return  # `check` multiplies by it
    assert differ(want, without), "the key changes nothing"


def test_the_gradient_goes_on_as_it_is(rng):
    ctx, y = run(HEAD, rng.normal(0, 1, (1, 36, H, W)).astype(np.float32), train=True)
    (dx,) = HEAD.backward(ctx, y)
    assert dx is y


@pytest.mark.parametrize("iou_loss", ["mse", "ciou"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e38, 0.0])
@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_any_prediction_is_borne(iou_loss, value, device):
    layer = dataclasses.replace(HEAD, iou_loss=iou_loss, objectness_smooth=True, truth_thresh=0.1)
    output = predicted(12)
    output.reshape(len(TRUTHS), 3, 12, H, W)[:, :, :8, 1:] = value
    loss = LOSSES["Gaussian_yolo"](ops(device), layer, output, TRUTHS, Moment(IMAGE))
    boxes = loss.gradient.reshape(len(TRUTHS), 3, 12, H, W)[:, :, :8]
    assert np.isfinite(boxes).all()


@pytest.mark.parametrize("point", ["center", "left_top"])
def test_a_tiny_network_learns_its_pictures(tmp_path, rng, point):
    head = f"[Gaussian_yolo]\nclasses=3\nnum=2\nanchors=5,5,9,8\nyolo_point={point}\n"
    truths = [np.array([[k, 0.3 + 0.2 * k, 0.5, 0.5, 0.6]], np.float32) for k in range(3)]
    before, after = descend(tmp_path, 24, head, truths, rng)
    assert after < 0.2 * before
