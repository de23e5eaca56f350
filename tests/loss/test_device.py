"""Losses on a device are those of the processor; kernels run on the CPU here."""

from dataclasses import astuple, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.kernels import ops
from darkpy.layers import Shape
from darkpy.layers.cost import Cost
from darkpy.layers.detection import Detection
from darkpy.layers.gaussian_yolo import GaussianYolo
from darkpy.layers.region import Region
from darkpy.layers.softmax import Softmax
from darkpy.layers.yolo import Yolo
from darkpy.loss import LOSSES, Moment, Rejection
from darkpy.loss.device import HEADS, DeviceLosses
from darkpy.net import NetOptions
from tests.hostcuda import missing
from tests.hostcuda.device import host_device
from tests.kernels.cuda.agree import around, from_map, to_map

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

ZOO = str(Path(__file__).parents[1] / "layers" / "zoo.tree")
IMAGE = Shape(3, 96, 128)
ANCHORS = (8, 10, 20, 14, 16, 30, 40, 44)
SMALL = {"num": 2, "classes": 5, "anchors": (0.9, 1.2, 2.5, 1.1)}
FIRST = Moment(IMAGE, seen=0)
LATER = Moment(IMAGE, seen=100_000, iteration=1000)
DETECTORS = {
    "yolo": (
        Yolo(classes=4, num=4, mask=(1, 2), anchors=ANCHORS, iou_loss="ciou", map=None),
        (3, 18, 3, 4),
    ),
    "weighted": (
        Yolo(
            classes=3, num=4, mask=(0, 3), anchors=ANCHORS, delta_normalizer=0.2,
            counters_per_class=(9, 1, 3), iou_thresh=0.2, show_details=False,
        ),
        (3, 16, 3, 4),
    ),
    "gaussian": (GaussianYolo(classes=3, num=4, mask=(1,), anchors=ANCHORS), (3, 12, 3, 4)),
    "region": (Region(**SMALL, thresh=0.2, rescore=True), (3, 20, 3, 4)),
    "tree": (Region(**SMALL, tree=ZOO, bias_match=True), (3, 20, 3, 4)),
    "detection": (Detection(classes=3, coords=4, num=2, side=3, random=1.0), (3, 117, 1, 1)),
    "small": (Detection(classes=3, coords=4, num=2, side=3, forced=True, max=2), (3, 117, 1, 1)),
}  # fmt: skip


def batch(rng, n, classes):
    """Truths of n pictures, of none in the first, and some of what there is not."""
    found = [np.zeros((0, 5), np.float32)]
    for _ in range(n - 1):
        boxes = rng.uniform(0.04, 0.96, (6, 4))
        boxes[0, 2] = 0
        found.append(np.column_stack([rng.integers(-1, classes + 1, 6), boxes]).astype(np.float32))
    return found


def check(layer, output, truths, moments, as_map, factor=None):
    """Compare losses of mini-batches one after another, by the same launches."""
    on, node = host_device(), SimpleNamespace(index=7, layer=layer)
    y = to_map(on, output, "float") if as_map else on.upload(output)
    gradient = around(on, output.shape, "float") if as_map else on.upload(output * np.nan)
    held = None if factor is None else on.upload(np.array([factor], np.float32))
    losses = DeviceLosses(on, [node], IMAGE, {7: y}, {7: gradient}, held)
    run = on.capture(on.bind(losses.launches))
    for own, moment in zip(truths, moments, strict=True):
        want = LOSSES[layer.section](ops("cpu"), layer, output.copy(), own, moment)
        losses.prepare(own, moment)
        run()
        found = losses.read()[7]
        assert found.gradient is gradient
        given = from_map(gradient) if as_map else gradient
        scale = np.abs(want.gradient).max() * (factor or 1)
        expected = want.gradient * (factor or 1)
        np.testing.assert_allclose(given / scale, expected / scale, rtol=0, atol=1e-5)
        parts = ("cost", "box", "objectness", "classification", "count", "iou")
        for name in parts:
            np.testing.assert_allclose(
                getattr(found, name), getattr(want, name), rtol=2e-5, err_msg=name
            )


@pytest.mark.parametrize(("layer", "shape"), DETECTORS.values(), ids=DETECTORS)
@pytest.mark.parametrize("as_map", [True, False])
def test_heads_of_detectors(layer, shape, as_map, rng):
    output = rng.uniform(0.03, 0.9, shape).astype(np.float32)
    truths = [batch(rng, 3, layer.classes) for _ in range(2)]
    check(layer, output, truths, (FIRST, LATER), as_map, None if as_map else 64.0)


def test_a_class_without_a_place(rng):
    layer, shape = DETECTORS["tree"]
    output = rng.uniform(0.03, 0.9, shape).astype(np.float32)
    truths = batch(rng, 3, layer.classes)
    truths[2][1] = 3, 200_000, 200_000, 0, 0
    check(layer, output, [truths], [LATER], as_map=False)


@pytest.mark.parametrize(
    "layer", [Softmax(), Cost(type="masked", scale=0.5), Cost(type="smooth")], ids=str
)
def test_heads_of_classifiers(layer, rng):
    output = rng.uniform(0.03, 0.9, (3, 10, 1, 1)).astype(np.float32)
    truths = [list(rng.choice([0, 1, -1234], (3, 10)).astype(np.float32)) for _ in range(2)]
    check(layer, output, truths, (FIRST, LATER), as_map=True)


def test_every_loss_is_there():
    assert HEADS.keys() == LOSSES.keys()


REJECTIONS = {
    "num_sigmas_reject_badlabels": 0.5,
    "badlabels_rejection_percentage": 150.0,
    "equidistant_point": 40,
}


@pytest.mark.parametrize(
    "names", [*((name,) for name in REJECTIONS), tuple(REJECTIONS)], ids="+".join
)
@pytest.mark.parametrize("as_map", [True, False])
def test_wrong_labels_are_rejected(names, as_map, rng):
    """Of two heads, in mini-batches before and after the last quarter begins."""
    options = NetOptions(max_batches=100, **{name: REJECTIONS[name] for name in names})
    layers, shapes = zip(DETECTORS["yolo"], DETECTORS["weighted"], strict=True)
    nodes = [SimpleNamespace(index=i, layer=layer) for i, layer in enumerate(layers)]
    on, factor = host_device(), 64.0

    def room(shape):
        return around(on, shape, "float") if as_map else on.upload(np.zeros(shape, np.float32))

    ys, gradients = [room(one) for one in shapes], [room(one) for one in shapes]
    losses = DeviceLosses(
        on,
        nodes,
        IMAGE,
        dict(enumerate(ys)),
        dict(enumerate(gradients)),
        on.upload(np.array([factor], np.float32)),
        options,
    )
    run = on.capture(on.bind(losses.launches))
    known, other, rejected = Rejection(), Rejection(), 0
    for iteration in (10, 41, 75, 76, 77, 90, 95):
        truths = batch(rng, 3, 4)
        wants = []
        moment = Moment(IMAGE, options, iteration=iteration, rejection=known)
        for layer, y, shape in zip(layers, ys, shapes, strict=True):
            output = rng.uniform(0.03, 0.9, shape).astype(np.float32)
            if as_map:
                y.array[...] = to_map(on, output, "float").array[: len(y.array)]
            else:
                y[...] = output
            plain = LOSSES["yolo"](ops("cpu"), layer, output, truths, Moment(IMAGE))
            wants.append(LOSSES["yolo"](ops("cpu"), layer, output, truths, moment))
            rejected += np.count_nonzero(plain.gradient) - np.count_nonzero(wants[-1].gradient)
        losses.prepare(truths, replace(moment, rejection=other))
        run()
        for want, found, gradient in zip(wants, losses.read().values(), gradients, strict=True):
            given = from_map(gradient) if as_map else gradient
            largest = np.abs(want.gradient).max()
            np.testing.assert_allclose(given / factor, want.gradient, rtol=0, atol=1e-5 * largest)
            np.testing.assert_array_equal(given != 0, want.gradient != 0)
            for name in ("cost", "box", "objectness", "classification", "count", "iou"):
                np.testing.assert_allclose(getattr(found, name), getattr(want, name), rtol=2e-5)
        np.testing.assert_allclose(astuple(other), astuple(known), rtol=1e-6)
    assert rejected > 0


def test_what_has_no_loss_is_refused():
    node = SimpleNamespace(index=0, layer=Softmax(noloss=True))
    y = np.zeros((1, 4), np.float32)
    with pytest.raises(NetworkError, match="noloss has none"):
        DeviceLosses(host_device(), [node], IMAGE, {0: y}, {0: y.copy()})
