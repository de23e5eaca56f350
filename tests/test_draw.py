import math

import cv2
import numpy as np
import pytest

from darkpy import draw as module
from darkpy.detections import Detections
from darkpy.draw import class_color, draw, draw_truths, encode_image, save_image
from darkpy.errors import DarkpyError, ImageError

GREY = 128


def canvas(h=240, w=320):
    return np.full((h, w, 3), GREY, np.uint8)


def one(box, name="dog", confidence=0.87, k=0, names=None):
    return Detections([box], [confidence], [k], names or (name,))


def changed(before, after):
    """Return left, top, right, bottom of the pixels that differ, or None."""
    y, x = np.nonzero((before != after).any(2))
    return (x.min(), y.min(), x.max(), y.max()) if len(x) else None


def get_color(c, x, most):
    """Compute darknet's image.c:get_color, line by line; c is 2 for red, 1 green, 0 blue."""
    colors = [[1, 0, 1], [0, 0, 1], [0, 1, 1], [0, 1, 0], [1, 1, 0], [1, 0, 0]]
    ratio = x / most * 5
    i, j = math.floor(ratio), math.ceil(ratio)
    ratio -= i
    return (1 - ratio) * colors[i][c] + ratio * colors[j][c]


@pytest.mark.parametrize("classes", [1, 2, 20, 80, 9418])
def test_colours_are_darknets(classes):
    for k in range(0, classes, max(1, classes // 50)):
        offset = k * 123457 % classes
        expected = [255 * get_color(c, offset, classes) for c in range(3)]
        np.testing.assert_allclose(class_color(k, classes), expected, atol=0.51)  # rounded


def test_a_box_and_its_label_are_drawn_on_a_copy():
    image = canvas()
    drawn = draw(image, one([100, 100, 200, 180]))
    assert (image == GREY).all()
    color = class_color(0, 1)
    for x, y in ((100, 150), (200, 150), (150, 180)):
        assert tuple(drawn[y, x]) == color
    assert (drawn[130:170, 130:170] == GREY).all()
    left, top, right, bottom = changed(image, drawn)
    assert 98 <= left and right <= 202 and bottom <= 182
    assert 70 < top < 95  # the label, above


def test_the_label_contrasts_with_its_ground():
    for k in range(12):
        drawn = draw(canvas(), one([60, 100, 260, 180], k=k, names=("dog",) * 12))
        label = drawn[82:98, 62:110].reshape(-1, 3).astype(int)
        ground = np.array(class_color(k, 12))
        ink = np.abs(label - ground).max(0)
        assert (label == ground).all(1).mean() > 0.3
        assert ink.max() > 120


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 100, 100),
        (-50, -50, 30, 30),
        (300, 0, 319, 20),
        (300, 220, 400, 400),
        (-10, 230, 20, 239),
        (-1000, -1000, 5000, 5000),
        (900, 900, 1000, 1000),
    ],
)
def test_a_label_is_whole_wherever_its_box_is(box, monkeypatch):
    written = []
    monkeypatch.setattr(module, "_write", lambda canvas, label, place: written.append(place))
    draw(canvas(), one(box))
    ((left, top, right, bottom),) = written
    assert 0 <= left < right <= 320
    assert 0 <= top < bottom <= 240


def test_labels_of_boxes_close_by_do_not_cover_each_other(monkeypatch):
    written = []
    monkeypatch.setattr(module, "_write", lambda canvas, label, place: written.append(place))
    boxes = [[100 + 2 * i, 100 + 2 * i, 200, 200] for i in range(5)]
    draw(canvas(), Detections(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], [0, 1, 0, 1, 0], ("a", "b")))
    assert len(written) == 5
    for i, (left, top, right, bottom) in enumerate(written):
        for other in written[:i]:
            apart = other[0] >= right or other[2] <= left or other[1] >= bottom or other[3] <= top
            assert apart


def same_as(name, other):
    box = [20, 100, 260, 180]
    return np.array_equal(draw(canvas(), one(box, name)), draw(canvas(), one(box, other)))


def test_names_of_other_letters_are_never_question_marks():
    assert same_as("🐶", "#0")
    assert same_as("a\tb", "#0")
    assert same_as("", "#0")
    assert same_as("x" * 100, "x" * 37 + "...")
    marks = "?" * 2
    for name in ("ñß", "狗猫", "дом"):
        assert not same_as(name, marks * len(name)) and not same_as(name, "?" * len(name))
    if not hasattr(cv2, "FontFace"):  # OpenCV 4 has ASCII only
        assert same_as("naïve Größe", "naive Grosse")
        assert same_as("狗", "#0")
    else:
        assert not same_as("狗", "#0")
        assert not same_as("naïve", "naive")


def test_classes_called_dont_show_are_not_shown():
    image = canvas()
    assert changed(image, draw(image, one([10, 60, 100, 100], "dont_show_this"))) is None


def test_nothing_found_draws_nothing():
    image = canvas()
    np.testing.assert_array_equal(draw(image, Detections.empty()), image)


def test_grey_pictures_become_coloured():
    drawn = draw(np.full((100, 200), GREY, np.uint8), one([20, 40, 150, 90]))
    assert drawn.shape == (100, 200, 3)
    assert (drawn[60, 20] == class_color(0, 1)).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1), (5, 5), (2000, 3000)])
@pytest.mark.parametrize("box", [(0, 0, 10, 10), (np.nan, -np.inf, np.inf, 1e30)])
def test_any_picture_and_any_box_can_be_drawn(size, box):
    image = canvas(*size)
    drawn = draw(image, one(box, confidence=np.nan))
    assert drawn.shape == image.shape
    assert changed(image, drawn) is not None


def test_lines_and_letters_grow_with_the_picture():
    small, large = (
        draw(canvas(h, w), one([w / 4, h / 2, w / 2, h * 0.9]))
        for h, w in ((240, 320), (2400, 3200))
    )
    marked = [(drawn != GREY).any(2).sum() for drawn in (small, large)]
    assert marked[1] > 20 * marked[0]


def test_classes_beyond_the_names_are_numbered():
    found = Detections([[20, 100, 260, 180]], [0.87], [7], ())
    np.testing.assert_array_equal(
        draw(canvas(), found), draw(canvas(), one([20, 100, 260, 180], k=7, names=("7",) * 8))
    )


def test_what_is_no_picture_is_refused():
    with pytest.raises(ImageError, match="got float64"):
        draw(np.zeros((4, 4, 3)), Detections.empty())


@pytest.mark.parametrize("name", ["a.png", "собака.bmp"])
def test_saving_and_reading_back(tmp_path, name, rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    save_image(tmp_path / name, image)
    np.testing.assert_array_equal(cv2.imdecode(np.fromfile(tmp_path / name, np.uint8), 1), image)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpeg_has_darknets_quality(tmp_path, name):
    image = draw(canvas(), one([20, 100, 260, 180]))
    save_image(str(tmp_path / name), image)
    expected = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()
    assert (tmp_path / name).read_bytes() == expected


@pytest.mark.parametrize("name", ["a.xyz", "a", "a.txt"])
def test_an_unknown_format_is_refused_and_the_file_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ImageError, match="OpenCV does not write"):
        save_image(tmp_path / name, canvas())
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(("name", "shape"), [("a.pgm", (4, 4, 3)), ("a.webp", (1, 20000, 3))])
def test_a_picture_that_the_format_does_not_take_is_refused(tmp_path, name, shape):
    with pytest.raises(ImageError, match="OpenCV does not write this picture as"):
        save_image(tmp_path / name, np.zeros(shape, np.uint8))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DarkpyError, match=r"gone.a\.png: cannot be written"):
        save_image(tmp_path / "gone" / "a.png", canvas())


def test_labels_may_be_without_per_cent():
    found = one([100, 100, 200, 180])
    with_score, without = draw(canvas(), found), draw(canvas(), found, scores=False)
    assert changed(with_score, without) is not None
    np.testing.assert_array_equal(
        without, draw(canvas(), one([100, 100, 200, 180], confidence=0.1), scores=False)
    )


def test_truths_are_dashes_that_show_on_any_ground():
    truths = np.array([[0, 0.5, 0.5, 0.5, 0.5]], np.float32)
    image = canvas()
    drawn = draw_truths(image, truths, ("dog",))
    assert (image == GREY).all()
    assert changed(image, drawn) == (80, 60, 240, 180)
    for edge in (drawn[60, 80:240], drawn[60:180, 80], drawn[180, 80:240], drawn[60:180, 240]):
        assert set(edge.ravel().tolist()) == {0, 255}
    assert (drawn[70:150, 90:230] == GREY).all()


def test_a_name_stands_in_a_box_with_room_for_it():
    truths = np.array([[0, 0.5, 0.5, 0.5, 0.5]], np.float32)
    drawn = draw_truths(canvas(), truths, ("dog",))
    other = draw_truths(canvas(), truths, ("cat",))
    left, top, right, bottom = changed(drawn, other)
    assert 80 <= left < right < 160 and 155 < top < bottom <= 180
    small = truths * np.array([1, 1, 1, 0.1, 0.1], np.float32)
    np.testing.assert_array_equal(
        draw_truths(canvas(), small, ("dog",)), draw_truths(canvas(), small, ("cat",))
    )


@pytest.mark.parametrize(
    "row", [[0, 0.5, 0.5, 0, 0], [7, 1, 1, 9, 9], [0, -5, -5, 0.1, 0.1], [0, 0.5, 0.5, 1, 0]]
)
@pytest.mark.parametrize("size", [(1, 1), (2, 300), (240, 320)])
def test_any_truth_can_be_drawn(row, size):
    drawn = draw_truths(canvas(*size), np.array([row], np.float32), ("dog",))
    assert drawn.shape == (*size, 3)


def test_a_picture_becomes_the_bytes_of_a_file():
    assert encode_image(".png", canvas()).startswith(b"\x89PNG")
    with pytest.raises(ImageError, match=r"OpenCV does not write this picture as \.dog"):
        encode_image(".dog", canvas())
