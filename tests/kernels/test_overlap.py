"""The way that takes a box nearer to its truth; how much they overlap is in test_boxes.py."""

import numpy as np
import pytest

from darkpy.kernels.common.overlap import overlap, overlap_slopes
from tests.loss import loops


def pairs(rng, count=300):
    """Return boxes (count, 4) twice: near each other, far apart, one within the other."""
    a, b = (rng.uniform(0.05, 0.9, (count, 4)) for _ in range(2))
    b[: count // 3] = a[: count // 3] * rng.uniform(0.8, 1.25, (count // 3, 4))
    a[-30:, :2] += 2
    a[-60:-30, 2:] = b[-60:-30, 2:] * 3
    return a, b


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_slopes_are_those_of_the_slow_loops(kind, rng):
    a, b = pairs(rng)
    want = [
        loops.slopes(*map(tuple, pair), kind) for pair in zip(a.tolist(), b.tolist(), strict=True)
    ]
    np.testing.assert_allclose(overlap_slopes(a, b, kind), want, rtol=1e-9, atol=1e-12)


def test_slopes_of_iou_are_its_derivatives_with_those_of_sizes_doubled(rng):
    a, b = pairs(rng)
    touch = overlap(a, b) > 0.01
    a, b, step = a[touch], b[touch], 1e-6
    slopes = overlap_slopes(a, b)
    for at, factor in enumerate((1, 1, 2, 2)):
        moved = np.zeros(4)
        moved[at] = step
        change = (overlap(a + moved, b) - overlap(a - moved, b)) / (2 * step)
        np.testing.assert_allclose(slopes[:, at], factor * change, atol=1e-4)


def test_float32_stays(rng):
    a, b = (x.astype(np.float32) for x in pairs(rng))
    for kind in ("iou", "giou", "diou", "ciou"):
        assert overlap_slopes(a, b, kind).dtype == np.float32
