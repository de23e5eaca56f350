"""The boxes that the device finds are those that `darkpy.decode` finds in the same outputs.

The kernels are compared by boxes and probabilities to 2e-6 of what they are at most, and in which
boxes there are without tolerance: what counts and what is suppressed is decided by the same
comparisons of float32, and random numbers do not lie within the rounding of a threshold.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from darkpy.boxes import correct, frame
from darkpy.decode import DECODE, Candidates, suppress
from darkpy.kernels import cuda, ops
from darkpy.kernels.cuda.decode import Head
from darkpy.layers.detection import Detection
from darkpy.layers.gaussian_yolo import GaussianYolo
from darkpy.layers.region import Region
from darkpy.layers.yolo import Yolo
from tests.kernels.cuda.agree import device, to_map

ZOO = str(Path(__file__).parents[2] / "layers" / "zoo.tree")
ANCHORS = (8, 10, 20, 14, 16, 30, 40, 44, 70, 60)
WIDTH, HEIGHT = 96, 160
MOST = 200


def outputs(layer, rng, n, h, w):
    """What a head gives: most boxes are nothing, the classes of the others are a few."""
    first = 9 if layer.section == "Gaussian_yolo" else 5
    boxes = layer.num if layer.section == "detection" else len(layer.priors)
    y = rng.uniform(0, 1, (n, boxes, first + layer.classes, h, w))
    y[:, :, first - 1] **= 5
    y[:, :, first:] **= 4
    if layer.section == "Gaussian_yolo":
        y[:, :, 1:8:2] *= 0.5
    y = y.astype(np.float32)
    if layer.section == "detection":
        y = y.transpose(0, 3, 4, 1, 2)
        parts = y[:, :, :, 0, 5:], y[..., 4], y[..., :4]
        return np.concatenate([part.reshape(n, -1) for part in parts], 1)
    if layer.section == "region":
        y = y.transpose(0, 3, 4, 1, 2).copy()
    return y.reshape(n, -1, h, w)


def head(on, layer, y, as_map=True):
    """A head of the device, with its output."""
    names = ("new_coords", "yolo_point", "classfix", "side", "num", "sqrt")
    keys = {key: getattr(layer, key) for key in names if hasattr(layer, key)}
    if layer.section == "region" and layer.hierarchy is not None:
        keys["parents"] = np.array(layer.hierarchy.parents, np.int32)
    if layer.section != "detection":
        keys["anchors"] = np.array(layer.priors, np.float32)
    is_map = as_map and y.ndim == 4 and layer.section != "region"
    held = to_map(on, y, "float") if is_map else y
    return Head(kind=layer.section, y=held, classes=layer.classes, **keys)


def rows_of(found):
    """Rows of class, x, y, w, h, objectness, probability, in an order that rounding leaves."""
    box, k = np.nonzero(found.probs)
    rows = np.column_stack(
        [k, found.boxes[box], found.objectness[box], found.probs[box, k]]
    ).astype(float)
    return rows[np.lexsort(rows.round(4).T)]


def check(
    layers, ys, on, *, thresh=0.3, nms=0.45, kind="default", frames=(), results=None, as_map=True
):
    """Compare what is found in the outputs ys of some heads, for each picture."""
    n = len(ys[0])
    if results is None:
        results = np.full((n, 1 + MOST, 8), np.nan, np.float32)
    heads = [head(on, layer, y, as_map) for layer, y in zip(layers, ys, strict=True)]
    held = np.array([frame(WIDTH, HEIGHT, *one) for one in frames]) if frames else None
    numbers = {"thresh": thresh, "nms": nms, "kind": kind, "beta": 0.8}
    on.run(cuda.decode(on, results, heads, width=WIDTH, height=HEIGHT, frames=held, **numbers))
    for picture in range(n):
        parts = [
            DECODE[layer.section](y[picture], layer, HEIGHT, WIDTH, thresh)
            for layer, y in zip(layers, ys, strict=True)
        ]
        raw = Candidates.join(parts)
        if frames:
            raw = raw.moved(correct(raw.boxes, WIDTH, HEIGHT, *frames[picture]))
        want = suppress(raw, ops("cpu"), nms, kind, 0.8) if nms else raw
        classes = layers[0].classes
        if kind == "objectness":
            classes, want = 1, Candidates(want.boxes, want.objectness, want.objectness[:, None])
        left, before = results[picture, 0, :2].astype(int)
        found = Candidates.of_rows(results[picture, 1 : 1 + left], classes)
        assert before == len(raw)
        ours, theirs = rows_of(found), rows_of(want)
        assert len(ours) == left
        assert ours.shape == theirs.shape
        scale = np.abs(theirs).max(0, initial=1e-9)
        np.testing.assert_allclose(ours / scale, theirs / scale, rtol=0, atol=2e-6)
    return results


YOLOS = [
    Yolo(classes=5, num=5, mask=(0, 1), anchors=ANCHORS),
    Yolo(classes=5, num=5, mask=(2, 3, 4), anchors=ANCHORS),
]


@pytest.mark.parametrize("kind", ["default", "greedynms", "diounms", "cornersnms", "objectness"])
def test_two_heads_give_their_boxes_together(kind, rng):
    ys = [outputs(layer, rng, 3, h, w) for layer, h, w in zip(YOLOS, (10, 5), (6, 3), strict=True)]
    results = check(YOLOS, ys, device(), kind=kind)
    assert (results[:, 0, 0] > 5).all()


@pytest.mark.parametrize(
    "layer",
    [
        Yolo(classes=3, num=1, anchors=(50, 60), new_coords=True),
        GaussianYolo(classes=3, num=5, mask=(1, 2), anchors=ANCHORS, yolo_point="left_top"),
        Region(classes=3, num=2, anchors=(1.1, 2.2, 3.3, 2.1)),
        Region(classes=3, num=2, anchors=(1.1, 2.2, 3.3, 2.1), classfix=-1),
        Region(classes=5, num=2, anchors=(1.1, 2.2, 3.3, 2.1), tree=ZOO),
        Detection(classes=3, coords=4, side=10, num=2),
        Detection(classes=3, coords=4, side=10, num=1, sqrt=True),
    ],
    ids=["new", "gaussian", "region", "classfix", "tree", "detection", "roots"],
)
@pytest.mark.parametrize("as_map", [True, False])
@pytest.mark.parametrize("kind", ["default", "objectness"])
def test_every_kind_of_head(layer, as_map, kind, rng):
    ys = [outputs(layer, rng, 2, 10, 10 if layer.section == "detection" else 14)]
    if layer.section == "region" and layer.tree:
        ys[0] = ys[0] ** np.float32(0.25)
    results = check([layer], ys, device(), thresh=0.2, kind=kind, as_map=as_map)
    assert (results[:, 0, 0] > 5).all()


def test_of_negative_objectness_too(rng):
    """Twice a negative number is above the threshold, for a [detection]."""
    layer = Detection(classes=3, coords=4, side=4, num=2)
    y = outputs(layer, rng, 2, 4, 4)
    y[:, : 16 * 5] *= -1
    results = check([layer], [y], device(), thresh=0.02, kind="objectness")
    assert (results[:, 0, 0] > 3).all()


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_no_order_of_threads_or_blocks_matters(order, rng):
    ys = [
        outputs(layer, rng, 2, h, w) for layer, h, w in zip(YOLOS, (20, 10), (12, 6), strict=True)
    ]
    one = check(YOLOS, ys, device(False, order))
    other = check(YOLOS, ys, device(False))
    assert one.tobytes() == other.tobytes()


def test_boxes_are_of_the_pictures_before_they_are_compared(rng):
    ys = [outputs(layer, rng, 2, h, w) for layer, h, w in zip(YOLOS, (10, 5), (6, 3), strict=True)]
    frames = [(640, 30, True), (77, 300, True, False)]
    check(YOLOS, ys, device(), kind="diounms", frames=frames)


@pytest.mark.parametrize(
    "layer",
    [
        Yolo(classes=3, num=5, mask=(1, 4), anchors=ANCHORS, scale_x_y=1.1),
        Yolo(classes=3, num=1, anchors=(50, 60), new_coords=True, scale_x_y=2.0),
        GaussianYolo(classes=3, num=5, mask=(1, 2), anchors=ANCHORS, scale_x_y=1.05),
    ],
    ids=["yolo", "new", "gaussian"],
)
def test_what_the_head_would_be_given_gives_the_same(layer, rng):
    """The host decodes what the head's own op makes of the same map."""
    raw = outputs(layer, rng, 2, 10, 6)
    if not getattr(layer, "new_coords", False):
        raw = np.log(raw + 1e-3) - np.log1p(1e-3 - raw)
    on, op = device(), {"yolo": "yolo", "Gaussian_yolo": "gaussian_yolo"}[layer.section]
    numbers = {"classes": layer.classes, "scale_x_y": layer.scale_x_y}
    if layer.section == "yolo":
        numbers["new_coords"] = layer.new_coords
    y = np.empty_like(raw)
    on.run(getattr(cuda, op)(on, y, to_map(on, raw, "float"), **numbers))
    found = [np.zeros((2, 1 + MOST, 8), np.float32) for _ in range(2)]
    for results, values, is_raw in zip(found, (y, raw), (False, True), strict=True):
        one = replace(head(on, layer, values), is_raw=is_raw, scale_x_y=layer.scale_x_y)
        on.run(cuda.decode(on, results, [one], width=WIDTH, height=HEIGHT, thresh=0.2))
    assert found[0][0, 0, 0] > 5
    np.testing.assert_array_equal(*found)


def test_many_boxes_are_sorted_in_turns(rng):
    layer = Yolo(classes=2, num=5, mask=(0, 1, 2, 3, 4), anchors=ANCHORS)
    ys = [outputs(layer, rng, 1, 26, 17)]
    results = check(
        [layer], ys, device(False), thresh=0.001, results=np.zeros((1, 4000, 8), np.float32)
    )
    assert results[0, 0, 1] > 1500


def test_without_suppression_all_that_counts_is_left(rng):
    ys = [outputs(layer, rng, 2, h, w) for layer, h, w in zip(YOLOS, (10, 5), (6, 3), strict=True)]
    check(YOLOS, ys, device(), nms=0)


def test_of_equals_the_first_is_left(rng):
    """Coarse numbers: equal probabilities are told apart by the class before, then the place."""
    y = (outputs(YOLOS[1], rng, 2, 5, 9) * 4).round() / 4
    check(YOLOS[1:], [y], device(), thresh=0.1)


def test_what_is_infinite_or_nothing_does_not_count(rng):
    y = outputs(YOLOS[0], rng, 2, 5, 3)
    y.reshape(2, 2, 10, 15)[0, :, 4] = 0
    y.reshape(2, 2, 10, 15)[1, :, 3, ::2] = 800
    results = check(YOLOS[:1], [y], device())
    assert results[0, 0].tolist() == [0] * 8


def test_tells_how_many_are_left_where_there_is_no_room(rng):
    ys = [outputs(YOLOS[0], rng, 1, 10, 6)]
    whole = check(YOLOS[:1], ys, device())
    few = np.full((1, 4, 8), np.nan, np.float32)
    on = device()
    heads = [head(on, YOLOS[0], ys[0])]
    on.run(cuda.decode(on, few, heads, width=WIDTH, height=HEIGHT, thresh=0.3))
    np.testing.assert_array_equal(few, whole[:, :4])
    assert few[0, 0, 0] > 3


def test_heads_of_other_classes_are_refused(rng):
    layers = [YOLOS[0], Yolo(classes=3, num=1, anchors=(50, 60))]
    heads = [head(device(), layer, outputs(layer, rng, 1, 2, 2)) for layer in layers]
    with pytest.raises(ValueError, match=r"heads of \[5, 3\] classes: expected the same"):
        cuda.decode(device(), None, heads, width=WIDTH, height=HEIGHT, thresh=0.3)
