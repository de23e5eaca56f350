import numpy as np
import pytest

from darkpy.data import crop as crop_module
from darkpy.data.crop import Crop, cut, draw_crop, fitting, place

NOTHING = {"jitter": 0.0, "resize": 1.0, "flip": False, "letter_box": False}


def drawn(count=400, picture=(200, 400), net=(64, 64), **keys):
    rng = np.random.default_rng(1)
    return np.array([draw_crop(rng, picture, net, **NOTHING | keys) for _ in range(count)])


def test_nothing_asked_for_is_the_whole_picture():
    assert not drawn().any()


def test_jitter_moves_each_side_evenly_in_and_out():
    crops = drawn(2000, jitter=0.25)
    for column, most in zip(range(4), (100, 100, 50, 50), strict=True):
        side = crops[:, column]
        assert -most <= side.min() < -0.95 * most and 0.95 * most < side.max() <= most
        assert abs(side.mean()) < most / 20
    correlation = np.corrcoef(crops[:, :4].T) - np.eye(4)
    assert abs(correlation).max() < 0.1  # each is drawn for itself


def test_resize_above_1_shrinks_and_grows_alike_at_left_and_top():
    crops = drawn(2000, resize=2.0)
    assert (crops[:, 0].min(), crops[:, 0].max()) == (-199, 99) or crops[:, 0].min() == -200
    assert -100 <= crops[:, 2].min() <= -98 and 48 <= crops[:, 2].max() <= 50
    assert np.abs(crops[:, 0] - 2 * crops[:, 2]).max() <= 2  # one number for both
    assert np.abs(crops[:, 1] - 2 * crops[:, 3]).max() <= 2
    assert abs(np.corrcoef(crops[:, 0], crops[:, 1])[0, 1]) < 0.1


def test_resize_below_1_only_adds_margins():
    crops = drawn(500, resize=0.5)
    assert crops[:, :4].max() == 0
    assert -200 <= crops[:, 0].min() <= -195 and -100 <= crops[:, 3].min() <= -97


def test_flip_is_every_other_one_and_needs_its_key():
    assert 0.45 < drawn(1000, flip=True)[:, 4].mean() < 0.55


@pytest.mark.parametrize(
    ("picture", "net", "expected"),
    [
        ((200, 400), (64, 64), (0, 0, -100, -100)),
        ((400, 200), (64, 64), (-100, -100, 0, 0)),
        ((200, 400), (64, 128), (0, 0, 0, 0)),
        ((200, 401), (32, 64), (0, 0, 0, 0)),
        ((100, 100), (64, 128), (-50, -50, 0, 0)),
    ],
)
def test_letter_box_adds_margins_up_to_the_proportions_of_the_input(picture, net, expected):
    assert drawn(1, picture, net, letter_box=True)[0, :4].tolist() == list(expected)


@pytest.mark.parametrize(
    "crop",
    [
        Crop(60, 60, 0, 0, True),
        Crop(0, 0, 50, 50, True),
        Crop(100, -50, 0, 0, True),
        Crop(-50, 100, 0, 0, True),
        Crop(0, 0, 100, -300, True),
        Crop(0, 0, -300, 100, True),
    ],
)
def test_a_part_that_shows_nothing_becomes_the_whole_picture(crop):
    assert fitting(crop, (100, 100)) == Crop(0, 0, 0, 0, True)
    assert fitting(crop, (500, 500)) == crop


def test_a_part_too_large_for_memory_becomes_the_whole_picture(monkeypatch):
    crop = Crop(0, 0, -9999, -9999, False)
    assert fitting(crop, (1, 20000)) == Crop(0, 0, 0, 0, False)
    assert fitting(crop, (1, 2000)) == crop
    monkeypatch.setattr(crop_module, "MOST_PIXELS", 2000)
    assert fitting(crop, (1, 2000)) == Crop(0, 0, 0, 0, False)


def test_cut_adds_the_mean_colour_and_flips_afterwards(rng):
    image = rng.integers(0, 256, (8, 10, 3)).astype(np.uint8)
    mean = np.rint(image.reshape(-1, 3).mean(0))
    part = cut(image, Crop(-2, 3, -1, 4, False), (5, 9))  # no resizing
    assert (part[0] == mean).all() and (part[:, :2] == mean).all()
    assert (part[1:, 2:] == image[:4, :7]).all()
    mirrored = cut(image, Crop(-2, 3, -1, 4, True), (5, 9))
    assert (mirrored == part[:, ::-1]).all()


def test_cut_keeps_the_channel_of_a_grey_picture_and_any_size():
    for shape in ((1, 1, 1), (1, 1, 3), (1, 50, 1), (50, 1, 3)):
        image = np.full(shape, 7, np.uint8)
        for crop in (Crop(0, 0, 0, 0, False), Crop(-3, -2, -1, 0, True)):
            part = cut(image, crop, (16, 24))
            assert part.shape == (16, 24, shape[2]) and (part == 7).all()


def test_place_follows_the_part(rng):
    labels = np.array([[3, 0.5, 0.25, 0.2, 0.1]], np.float32)
    picture, net = (200, 400), (64, 64)
    crop = Crop(40, -40, 20, 80, False)  # 400 wide, 100 high
    expected = [3, (200 - 40) / 400, (50 - 20) / 100, 80 / 400, 20 / 100]
    assert np.allclose(place(labels, crop, picture, net, 9, rng), [expected])
    expected[1] = 1 - expected[1]
    mirrored = place(labels, crop._replace(flip=True), picture, net, 9, rng)
    assert np.allclose(mirrored, [expected]) and mirrored.dtype == np.float32


def test_place_cuts_boxes_and_leaves_out_what_is_less_than_a_pixel(rng):
    labels = np.array([[0, 0.5, 0.5, 1, 1], [1, 0.1, 0.5, 0.1, 0.1]], np.float32)
    picture, net = (100, 100), (50, 50)
    at_the_edge = place(labels, Crop(13, 0, 0, 0, False), picture, net, 9, rng)
    assert sorted(at_the_edge[:, 0]) == [0, 1]
    whole = at_the_edge[at_the_edge[:, 0] == 0]
    assert np.allclose(whole, [[0, 0.5, 0.5, 1, 1]])
    beyond = place(labels, Crop(14, 0, 0, 0, False), picture, net, 9, rng)  # 1/86 is left
    assert beyond[:, 0].tolist() == [0]
    assert place(labels[1:], Crop(20, 0, 0, 0, False), picture, net, 9, rng).shape == (0, 5)


def test_place_keeps_a_drawn_choice_of_many_in_a_drawn_order(rng):
    labels = np.column_stack([np.arange(50), np.full((50, 4), 0.5)]).astype(np.float32)
    whole = Crop(0, 0, 0, 0, False)
    kept = [place(labels, whole, (9, 9), (9, 9), 20, rng)[:, 0] for _ in range(60)]
    assert {len(set(one)) for one in kept} == {20}
    assert len(set(np.concatenate(kept))) == 50
    assert any((np.diff(one) < 0).any() for one in kept)
    assert labels[:, 0].tolist() == list(range(50))  # what was given is not changed
