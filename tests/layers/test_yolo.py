import logging

import numpy as np
import pytest

from darkpy.errors import CfgError, NetworkError
from darkpy.layers import Shape
from darkpy.layers.yolo import Yolo
from tests.layers.gradient import drawn, gapped, run


def logistic(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("scale_x_y", [1.0, 1.05, 2.0])
@pytest.mark.parametrize("new_coords", [False, True])
def test_activates_all_but_width_and_height(scale_x_y, new_coords, rng):
    layer = Yolo(num=2, classes=3, scale_x_y=scale_x_y, new_coords=new_coords)
    x = drawn((2, 16, 3, 2), rng)
    before = x.copy()
    y = run(layer, gapped(x))[1]
    assert y.shape == x.shape == (2, *layer.shape(Shape(16, 3, 2)))
    active = (lambda v: v) if new_coords else logistic
    for k in (0, 8):
        centre = active(x[:, k : k + 2]) * scale_x_y - (scale_x_y - 1) / 2
        np.testing.assert_allclose(y[:, k : k + 2], centre, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(y[:, k + 2 : k + 4], x[:, k + 2 : k + 4])
        np.testing.assert_allclose(y[:, k + 4 : k + 8], active(x[:, k + 4 : k + 8]), rtol=1e-12)
    np.testing.assert_array_equal(x, before)


def test_keeps_float32(rng):
    x = drawn((1, 6, 2, 2), rng, np.float32)
    assert run(Yolo(num=1, classes=1, scale_x_y=1.2), x)[1].dtype == np.float32


def test_anchors_of_the_head_are_those_of_its_mask():
    anchors = tuple(map(float, range(1, 13)))
    assert Yolo(num=6, anchors=anchors, mask=(3, 5)).priors == ((7, 8), (11, 12))
    assert Yolo(num=2, anchors=anchors[:4]).priors == ((1, 2), (3, 4))
    assert Yolo(num=2).priors == ((0.5, 0.5), (0.5, 0.5))
    assert Yolo(num=3, anchors=anchors[:3], mask=(1, 2)).priors == ((3, 0.5), (0.5, 0.5))


def test_a_mask_may_name_anchors_that_num_forgets():
    layer = Yolo(num=1, classes=1, anchors=(1.0, 2.0, 3.0, 4.0), mask=(1,))
    assert layer.shape(Shape(6, 2, 2)) == Shape(6, 2, 2)
    assert layer.priors == ((3, 4),)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, r"expected 255 channels, 3 anchors \* \(classes=80 \+ 5\); got 18; set filters=255"),
        ({"classes": 1, "mask": (3, 4, 9)}, "mask has 9; expected 0..8, as num=9"),
        ({"classes": 1, "mask": (-1, 4, 5)}, "mask has -1; expected 0..8"),
        ({"classes": 1, "counters_per_class": (5, 6)}, "has 2 numbers; expected one for each of"),
    ],
)
def test_refuses_what_does_not_fit(keys, message):
    keys = {"classes": 80, "num": 9, "mask": (0, 1, 2)} | keys
    with pytest.raises(NetworkError, match=message):
        Yolo(**keys).shape(Shape(18, 3, 3))


def test_a_class_map_must_stay_within_the_classes(build, tmp_path):
    (tmp_path / "two.map").write_text("0\n2\n")
    layer = build("yolo", "classes=2 num=1 map=two.map")
    assert layer.map == (0, 2)
    with pytest.raises(NetworkError, match=r"map names class 2; expected 0\.\.1"):
        layer.shape(Shape(7, 1, 1))


def test_keys(build):
    numbers = (
        "classes=2 num=3 max=30 jitter=.3 resize=1.5 random=1.4 ignore_thresh=.7 truth_thresh=.9 "
        "iou_thresh=.2 iou_normalizer=.07 obj_normalizer=.4 cls_normalizer=.5 delta_normalizer=.6 "
        "scale_x_y=1.1 objectness_smooth=1 max_delta=5 label_smooth_eps=.1 beta_nms=.8 "
        "new_coords=1 focal_loss=1 show_details=0 embedding_layer=-3 track_history_size=8 "
        "sim_thresh=.25 dets_for_track=2 dets_for_show=3 track_ciou_norm=.02"
    )
    words = "iou_thresh_kind=diou iou_loss=ciou nms_kind=greedynms"
    lists = "mask=0,2 anchors=1,2,3,4,5,6.5 counters_per_class=10,20"
    layer = build("yolo", f"{numbers} {words} {lists}")
    for pair in numbers.split():
        name, _, text = pair.partition("=")
        assert getattr(layer, name) == float(text), name
    for pair in words.split():
        name, _, text = pair.partition("=")
        assert getattr(layer, name) == text
    assert (layer.mask, layer.counters_per_class) == ((0, 2), (10, 20))
    assert layer.anchors == (1, 2, 3, 4, 5, 6.5)


def test_defaults_are_darknets(build):
    layer = build("yolo")
    assert (layer.classes, layer.num, layer.mask, layer.max) == (20, 1, None, 200)
    assert (layer.iou_normalizer, layer.obj_normalizer, layer.cls_normalizer) == (0.75, 1, 1)
    assert (layer.nms_kind, layer.beta_nms, layer.iou_loss) == ("default", 0.6, "mse")
    assert layer.max_delta == np.finfo(np.float32).max


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("anchors=1,-2", "anchors = -2.0: expected at least 0"),
        ("iou_loss=ciuo", "did you mean 'ciou'"),
        ("nms_kind=cornersnms", "'cornersnms' is not known"),
        ("classes=0", "classes = 0: expected at least 1"),
        ("num=two", "num = 'two': expected a whole number"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_line(build, keys, message):
    with pytest.raises(CfgError, match=rf"one\.cfg:2: \[yolo\] .*{message}"):
        build("yolo", keys)


@pytest.mark.parametrize(
    ("anchors", "message"),
    [
        ("1,2,3", "anchors has 3 numbers; num=2 needs 4; 0.5 stands for the others"),
        ("1,2,3,4,5,6", "anchors has 6 numbers; num=2 needs 4; those beyond count only where"),
    ],
)
def test_a_number_of_anchors_other_than_num_is_warned_of(build, caplog, anchors, message):
    with caplog.at_level(logging.WARNING, "darkpy"):
        build("yolo", f"num=2 anchors={anchors}", strict=False)
    (record,) = caplog.records
    assert "one.cfg:3: [yolo] " + message in record.getMessage()
    with pytest.raises(CfgError, match=message):
        build("yolo", f"num=2 anchors={anchors}")
