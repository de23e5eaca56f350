"""What the boxes of [yolo] and [Gaussian_yolo] learn: as the reference, and the processor."""

import numpy as np
import pytest

from darkpy.kernels import cuda, ops
from darkpy.layers import Shape
from darkpy.layers.gaussian_yolo import GaussianYolo
from darkpy.layers.yolo import Yolo
from darkpy.loss import LOSSES, Moment
from darkpy.loss.gaussian_yolo import RULES as GAUSSIAN_RULES
from darkpy.loss.yolo import RULES, arrays, numbers
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, around, device, from_map, to_map

OPS = ("yolo_loss", "gaussian_yolo_loss")
SMALL = [case for case in CASES if case.op in OPS and not case.timed]
ANCHORS = (8, 10, 20, 14, 16, 30, 40, 44, 70, 60)
IMAGE = Shape(3, 96, 160)
KEYS = {
    "yolo": (cuda.yolo_loss, (*RULES, "focal_loss", "new_coords")),
    "Gaussian_yolo": (cuda.gaussian_yolo_loss, (*GAUSSIAN_RULES, "uc_normalizer", "yolo_point")),
}


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("case", SMALL[:4], ids=str)
@pytest.mark.parametrize("order", ["reverse", "random"])
def test_no_order_of_threads_matters(case, order):
    agree(case, on=device(check=False, order=order))


def crowded(rng, n, classes, crowd):
    """Truths of n pictures: none in the first, in others some, of which ``crowd`` are in a cell."""
    found = [np.zeros((0, 5), np.float32)]
    for _ in range(n - 1):
        boxes = rng.uniform(0.04, 0.96, (5 + crowd, 4))
        boxes[:crowd, :2] = 0.41 + boxes[:crowd, :2] * 0.01
        boxes[:, 2:] *= 0.5
        found.append(np.column_stack([rng.integers(0, classes, 5 + crowd), boxes]))
    return [one.astype(np.float32) for one in found]


def learn(layer, output, truths, room=0, on=None):
    """Return gradient and figures of the device, with rows of truths that there are not."""
    on = on or device()
    op, names = KEYS[layer.section]
    rows, anchors, weights = arrays(layer, truths)
    held = np.full((room or len(rows), 6), np.nan, np.float32)
    held[: len(rows)] = rows
    gradient, figures = around(on, output.shape, "float"), np.full(6, np.nan, np.float32)
    launches = op(
        on, (gradient, figures), to_map(on, output, "float"), held, anchors, weights,
        count=np.array([len(rows)], np.int32), delta_normalizer=layer.delta_normalizer,
        **numbers(layer, Moment(IMAGE), *names),
    )  # fmt: skip
    on.run(launches)
    return from_map(gradient), figures


@pytest.mark.parametrize("crowd", [0, 6])
@pytest.mark.parametrize(
    "layer",
    [
        Yolo(classes=4, num=5, mask=(1, 2, 4), anchors=ANCHORS, iou_thresh=0.2, iou_loss="ciou"),
        Yolo(classes=37, num=5, mask=(3,), anchors=ANCHORS, delta_normalizer=0.5, map=None),
        Yolo(
            classes=6, num=5, mask=(0, 1, 2, 3, 4), anchors=ANCHORS, show_details=False,
            counters_per_class=(9, 1, 4, 0, 2, 3), objectness_smooth=True, truth_thresh=0.25,
            iou_thresh=0.3, iou_loss="giou",
        ),
        GaussianYolo(classes=2, num=5, mask=(1, 2, 4), anchors=ANCHORS, iou_thresh=0.2),
        GaussianYolo(
            classes=35, num=5, mask=(0, 4), anchors=ANCHORS, objectness_smooth=True,
            ignore_thresh=0.2, yolo_point="left_top", iou_loss="ciou",
        ),
    ],
    ids=["ciou", "mse", "smooth", "gaussian", "gaussian-smooth"],
)  # fmt: skip
def test_learns_what_the_processor_learns(layer, crowd, rng):
    entries = (9 if layer.section == "Gaussian_yolo" else 5) + layer.classes
    output = rng.uniform(0.03, 0.9, (3, entries * len(layer.indices), 6, 10)).astype(np.float32)
    truths = crowded(rng, 3, layer.classes, crowd)
    want = LOSSES[layer.section](ops("cpu"), layer, output, truths, Moment(IMAGE))
    gradient, figures = learn(layer, output, truths, room=60)
    largest = np.abs(want.gradient).max()
    np.testing.assert_allclose(gradient, want.gradient, rtol=0, atol=1e-5 * largest)
    count, ious, overlaps, *parts = figures.tolist()
    assert count == want.count
    np.testing.assert_allclose(ious / count, want.iou, rtol=1e-5)
    if layer.iou_loss != "giou":
        assert overlaps == ious
    if layer.iou_loss == "mse" or not getattr(layer, "show_details", False):
        wanted = [want.box, want.objectness, want.classification]
        np.testing.assert_allclose(parts, wanted, rtol=1e-5)


def test_a_batch_without_truths_learns_that_all_is_empty(rng):
    layer = Yolo(classes=4, num=5, mask=(1, 2), anchors=ANCHORS)
    output = rng.uniform(0.03, 0.9, (2, 18, 3, 5)).astype(np.float32)
    none = [np.zeros((0, 5), np.float32)] * 2
    want = LOSSES["yolo"](ops("cpu"), layer, output, none, Moment(IMAGE))
    gradient, figures = learn(layer, output, none, room=7)
    np.testing.assert_allclose(gradient, want.gradient, rtol=1e-6)
    np.testing.assert_allclose(figures, [0, 0, 0, 0, want.objectness, 0], rtol=1e-5)


def test_what_is_no_number_teaches_what_the_reference_says(rng):
    layer = Yolo(classes=4, num=5, mask=(1, 2, 4), anchors=ANCHORS, iou_loss="ciou")
    output = rng.uniform(0.03, 0.9, (2, 27, 6, 10)).astype(np.float32)
    output.reshape(2, 3, 9, 60)[:, :, rng.integers(0, 9, 60), np.arange(60)] = rng.choice(
        [np.nan, np.inf, -np.inf, 200], (2, 3, 60)
    )
    truths = crowded(rng, 2, 4, 4)
    want = LOSSES["yolo"](ops("reference"), layer, output, truths, Moment(IMAGE))
    gradient, _ = learn(layer, output, truths)
    np.testing.assert_allclose(gradient, want.gradient, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(6, 10), (1, 1)])
@pytest.mark.parametrize("section", ["yolo", "Gaussian_yolo"])
def test_takes_and_gives_planes(section, size, rng):
    made, entries = (Yolo, 7) if section == "yolo" else (GaussianYolo, 11)
    layer = made(classes=2, num=5, mask=(1, 2, 4), anchors=ANCHORS, iou_thresh=0.2)
    output = rng.uniform(0.03, 0.9, (3, 3 * entries, *size)).astype(np.float32)
    truths = crowded(rng, 3, 2, 5)
    want, figures = learn(layer, output, truths)
    op, names = KEYS[section]
    rows, anchors, _ = arrays(layer, truths)
    out, on = (np.full_like(output, np.nan), np.zeros(6, np.float32)), device()
    on.run(op(on, out, output, rows, anchors, **numbers(layer, Moment(IMAGE), *names)))
    np.testing.assert_array_equal(out[0], want)
    np.testing.assert_array_equal(out[1], figures)


def test_two_runs_give_the_same_bytes(rng):
    layer = GaussianYolo(classes=2, num=5, mask=(1, 2, 4), anchors=ANCHORS, iou_thresh=0.2)
    output = rng.uniform(0.03, 0.9, (2, 33, 6, 10)).astype(np.float32)
    truths = crowded(rng, 2, 2, 5)
    both = [
        learn(layer, output, truths, on=device(False, order)) for order in ("forward", "random")
    ]
    for one, other in zip(*both, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_head_of_more_boxes_than_a_mask_has_bits_is_refused():
    y = device().map((1, 33 * 6, 2, 2), "float")
    with pytest.raises(ValueError, match="a head of 33 anchors: expected 32 or fewer"):
        cuda.yolo_loss(device(), (y, None), y, None, None, mask=range(33))
