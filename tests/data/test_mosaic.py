import numpy as np
import pytest

from darkpy.data.crop import Crop
from darkpy.data.mosaic import Span, draw_meeting, shifted, spans, to_corner

NET = (60, 100)


def test_the_meeting_point_is_between_a_fifth_and_four_fifths(rng):
    points = np.array([draw_meeting(rng, NET) for _ in range(3000)])
    assert points.min(0).tolist() == [12, 20] and points.max(0).tolist() == [48, 80]
    assert np.allclose(points.mean(0), [30, 50], atol=1)


@pytest.mark.parametrize(
    ("quadrant", "flip", "expected"),
    [
        (0, False, (0, 3, 0, 12)),
        (1, False, (3, 0, 0, 12)),
        (2, False, (0, 3, 12, 0)),
        (3, False, (3, 0, 12, 0)),
        (0, True, (3, 0, 0, 12)),
        (1, True, (0, 3, 0, 12)),
        (2, True, (3, 0, 12, 0)),
        (3, True, (0, 3, 12, 0)),
    ],
)
def test_to_corner_gathers_the_margins_at_one_side(quadrant, flip, expected):
    assert to_corner(Crop(1, 2, 5, 7, flip), quadrant) == Crop(*expected, flip)


def test_the_four_parts_cover_the_whole(rng):
    for _ in range(50):
        meeting = draw_meeting(rng, NET)
        covered = np.zeros(NET, int)
        for quadrant in range(4):
            crop = Crop(*rng.integers(-80, 80, 4).tolist(), bool(rng.integers(2)))
            down, across = spans(quadrant, meeting, crop, (150, 200), NET)
            covered[down.given, across.given] += 1
            for span, side in ((down, NET[0]), (across, NET[1])):
                assert 0 <= span.source and span.source + span.length <= side
        assert (covered == 1).all()


def test_margins_are_left_out_as_far_as_may_be():
    picture, meeting = (60, 100), (30, 40)
    whole = Crop(0, 0, 0, 0, False)
    assert spans(0, meeting, whole, picture, NET) == (Span(30, 0, 30), Span(60, 0, 40))
    assert spans(3, meeting, whole, picture, NET) == (Span(0, 30, 30), Span(0, 40, 60))
    margins = Crop(-10, -70, -5, -8, False)
    assert spans(0, meeting, margins, picture, NET) == (Span(22, 0, 30), Span(0, 0, 40))
    assert spans(3, meeting, margins, picture, NET) == (Span(5, 30, 30), Span(10, 40, 60))
    assert spans(3, meeting, margins._replace(flip=True), picture, NET)[1] == Span(40, 40, 60)


def shifted_by_loops(truths, down, across, net, bound):
    """Say in single numbers what darknet's blend_truth_mosaic does."""
    f = np.float32
    h, w = net
    found = []
    for kind, *box in truths:
        x, y, wide, high = box
        x, y = x + f(across.target - across.source) / f(w), y + f(down.target - down.source) / f(h)
        spot = [(x, wide, w, across), (y, high, h, down)]
        for axis, (centre, size, side, span) in enumerate(spot):
            low, high = int((centre - size / 2) * side), int((centre + size / 2) * side)
            if bound:
                low, high = max(low, span.target), min(high, span.target + span.length)
                centre, size = f(low + high) / 2 / f(side), f(high - low) / f(side)
            else:
                if low < 0:
                    centre, size = centre - f(low) / side / 2, size + f(low) / side
                if high > side:
                    over = f(high - side) / side
                    centre, size = centre - over / 2, size - over
            spot[axis] = (centre, size, side, span)
        fits = all(
            int((c - s / 2) * side) >= 0
            and int((c + s / 2) * side) <= side
            and 0 < c < 1
            and 1 / side < s < 1
            for c, s, side, _ in spot
        )
        if fits:
            found.append([kind, spot[0][0], spot[1][0], spot[0][1], spot[1][1]])
    return np.array(found, np.float32).reshape(-1, 5)


@pytest.mark.parametrize("bound", [False, True])
def test_truths_move_with_their_part(bound, rng):
    kept = 0
    for _ in range(60):
        low = rng.random((8, 2)) * 0.9
        size = (1 - low) * rng.random((8, 2))
        truths = np.column_stack([rng.integers(0, 5, 8), low + size / 2, size]).astype(np.float32)
        crop = Crop(*rng.integers(-80, 80, 4).tolist(), bool(rng.integers(2)))
        for quadrant in range(4):
            down, across = spans(quadrant, draw_meeting(rng, NET), crop, (150, 200), NET)
            found = shifted(truths, down, across, NET, bound)
            expected = shifted_by_loops(truths, down, across, NET, bound)
            assert found.shape == expected.shape and np.allclose(found, expected, atol=1e-6)
            assert ((found[:, 1:] > 0) & (found[:, 1:] < 1)).all()
            kept += len(found)
            if bound:
                edges = found[:, 1:3, None] + found[:, 3:, None] * [-0.5, 0.5]
                for axis, span in ((0, across), (1, down)):
                    pixels = edges[:, axis] * NET[1 - axis]
                    assert pixels.size == 0 or pixels.min() > span.target - 1e-3
                    assert pixels.size == 0 or pixels.max() < span.target + span.length + 1e-3
    assert kept > 300


def test_of_no_truths_there_is_none():
    down, across = spans(0, (30, 40), Crop(0, 0, 0, 0, False), (9, 9), NET)
    for bound in (False, True):
        assert shifted(np.empty((0, 5), np.float32), down, across, NET, bound).shape == (0, 5)
