import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpy.boxes import correct, iou, letter_size, overlap, to_centres, to_corners

# Two float32 computations of the same formula in another order: a few units in the last place,
# of numbers of about 1.
TOLERANCE = 1e-5


def overlap_by_scalars(a, b, kind):
    """Compute darknet's box.c formulas for two boxes in double precision."""
    ax, ay, aw, ah = map(float, a)
    bx, by, bw, bh = map(float, b)
    w = min(ax + aw / 2, bx + bw / 2) - max(ax - aw / 2, bx - bw / 2)
    h = min(ay + ah / 2, by + bh / 2) - max(ay - ah / 2, by - bh / 2)
    both = 0.0 if w < 0 or h < 0 else w * h
    union = aw * ah + bw * bh - both
    share = both / union if both and union else 0.0
    wide = max(ax + aw / 2, bx + bw / 2) - min(ax - aw / 2, bx - bw / 2)
    high = max(ay + ah / 2, by + bh / 2) - min(ay - ah / 2, by - bh / 2)
    if kind == "iou":
        return share
    if kind == "giou":
        return share - (wide * high - union) / (wide * high) if wide * high else share
    diagonal = wide**2 + high**2
    if not diagonal:
        return share
    apart = ((ax - bx) ** 2 + (ay - by) ** 2) / diagonal
    if kind == "diou":
        return share - apart**0.6
    v = 4 / math.pi**2 * (math.atan(bw / bh) - math.atan(aw / ah)) ** 2
    return share - (apart + v / (1 - share + v + 1e-6) * v)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_overlap_equals_the_formula_in_double(kind, rng):
    a = rng.uniform(0.1, 0.9, (60, 4)).astype(np.float32)
    b = rng.uniform(0.1, 0.9, (60, 4)).astype(np.float32)
    b[:10] = a[:10]  # the same box
    b[10:20, :2] += 3  # far away
    b[20:30, 2:] /= 8  # inside
    got = overlap(a, b, kind)
    assert got.dtype == np.float32
    expected = [overlap_by_scalars(*pair, kind) for pair in zip(a, b, strict=True)]
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)


def test_known_overlaps():
    a = np.array([0.5, 0.5, 1, 1], np.float32)
    b = np.array([1.0, 0.5, 1, 1], np.float32)  # half of each, side by side in 1.5 x 1
    assert overlap(a, a) == 1
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, b, "giou") == pytest.approx(1 / 3)
    assert overlap(a, b, "diou") == pytest.approx(1 / 3 - (0.25 / 3.25) ** 0.6)
    assert overlap(a, b, "ciou") == pytest.approx(1 / 3 - 0.25 / 3.25)
    c = np.array([4.5, 0.5, 1, 1], np.float32)  # apart: 2 of the 5 squares around are theirs
    assert overlap(a, c) == 0
    assert overlap(a, c, "giou") == pytest.approx(-3 / 5)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_a_point_overlaps_nothing(kind):
    point = np.array([0.3, 0.3, 0, 0], np.float32)
    assert overlap(point, point, kind) == 0


def test_iou_is_of_each_with_each(rng):
    a = rng.uniform(0.1, 0.9, (5, 4)).astype(np.float32)
    b = rng.uniform(0.1, 0.9, (3, 4)).astype(np.float32)
    got = iou(a, b)
    assert (got.shape, got.dtype) == ((5, 3), np.float32)
    expected = [[overlap_by_scalars(x, y, "iou") for y in b] for x in a]
    np.testing.assert_allclose(got, expected, rtol=0, atol=TOLERANCE)
    assert iou(a, b[:0]).shape == (5, 0)


def test_infinite_boxes_give_no_warning():
    a = np.array([[0.5, 0.5, np.inf, 1e38], [0.5, np.nan, 1, 1]], np.float32)
    for kind in ("iou", "giou", "diou", "ciou"):
        assert overlap(a, a[::-1], kind).shape == (2,)


def test_corners_and_back():
    boxes = np.array([[[0.5, 0.25, 0.5, 0.25]], [[3, 4, 2, 6]]], np.float32)
    corners = to_corners(boxes)
    expected = [[[0.25, 0.125, 0.75, 0.375]], [[2, 1, 4, 7]]]
    np.testing.assert_array_equal(corners, np.array(expected, np.float32))
    np.testing.assert_array_equal(to_centres(corners), boxes)
    assert corners.dtype == np.float32


@pytest.mark.parametrize(
    ("image", "net", "inner"),
    [
        ((768, 576), (416, 416), (416, 312)),
        ((576, 768), (416, 416), (312, 416)),
        ((500, 500), (608, 320), (320, 320)),
        ((773, 512), (416, 416), (416, 275)),  # 275.54 in whole numbers
        ((20000, 1), (416, 416), (416, 1)),  # 0 in darknet
        ((1, 20000), (416, 416), (1, 416)),
        ((10, 10), (320, 320), (320, 320)),
    ],
)
def test_letter_size(image, net, inner):
    assert letter_size(*image, *net) == inner


sides = st.integers(1, 3000)


@given(sides, sides, sides, sides, st.booleans(), st.booleans())
def test_correct_equals_darknets_loop(net_w, net_h, image_w, image_h, boxed, relative):
    """The loop of yolo_layer.c:correct_yolo_boxes, one box and one operation at a time."""
    f = np.float32
    boxes = np.random.default_rng(0).uniform(-0.5, 1.5, (5, 4)).astype(f)
    inner = letter_size(image_w, image_h, net_w, net_h) if boxed else (net_w, net_h)
    expected = []
    for x, y, w, h in boxes:
        share_w, share_h = f(inner[0]) / f(net_w), f(inner[1]) / f(net_h)
        x = f((float(x) - float(f(net_w - inner[0])) / 2.0 / net_w) / float(share_w))
        y = f((float(y) - float(f(net_h - inner[1])) / 2.0 / net_h) / float(share_h))
        w, h = w * (f(1) / share_w), h * (f(1) / share_h)
        if not relative:
            x, w, y, h = x * f(image_w), w * f(image_w), y * f(image_h), h * f(image_h)
        expected.append([x, y, w, h])
    got = correct(boxes, net_w, net_h, image_w, image_h, boxed, relative)
    assert got.dtype == f
    np.testing.assert_array_equal(got, np.array(expected, f))


def test_correct_undoes_the_letterbox():
    # 200 x 100 in 400 x 400: a margin of 100 above and below
    boxes = np.array([[0.5, 0.5, 1.0, 0.5], [0.25, 0.25, 0.1, 0.1]], np.float32)
    got = correct(boxes, 400, 400, 200, 100, letter_box=True, relative=False)
    expected = [[100, 50, 200, 100], [50, 0, 20, 20]]
    np.testing.assert_allclose(got, expected, atol=1e-4)  # pixels
