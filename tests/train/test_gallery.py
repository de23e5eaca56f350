from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from darkpy.detections import Detections
from darkpy.errors import DarkpyError
from darkpy.train.gallery import contact_sheet, draw_batch, draw_worst, reduced, save_augmented

GREY = 128


def picture(path, size=(200, 300)):
    cv2.imwrite(str(path), np.full((*size, 3), GREY, np.uint8))
    return str(path)


def judged(path, loss, truths=((0, 0.25, 0.5, 0.3, 0.6),), found=None):
    found = found or Detections([[180, 40, 280, 160]], [0.9], [1], ("cat", "dog"))
    return SimpleNamespace(
        path=str(path), loss=loss, truths=np.array(truths, np.float32).reshape(-1, 5), found=found
    )


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_worst_come_first_and_say_their_loss(tmp_path):
    items = [
        judged(picture(tmp_path / f"{name}.png"), loss)
        for name, loss in (("cat", 1.5), ("dog", 1234.5), ("강 아지", 12.34))
    ]
    images = draw_worst(tmp_path / "worst", 300, items)
    assert names(tmp_path / "worst" / "00300") == [
        "01_loss_1234.50_dog.jpg",
        "02_loss_12.34_강_아지.jpg",
        "03_loss_1.50_cat.jpg",
    ]
    assert len(images) == 3


def test_truths_are_dashed_and_findings_in_colour(tmp_path):
    (image,) = draw_worst(tmp_path, 1, [judged(picture(tmp_path / "a.png"), 1.0)])
    edge = image[40:160, 29]  # left edge of the truth: 29..119, 40..160
    assert {0, 255} <= set(edge.ravel())
    assert (edge[:, 0] == edge[:, 2]).all()
    right = image[60:150, 280]  # right edge of what was found
    assert (right == right[0]).all() and len(set(right[0].tolist())) > 1


def test_large_pictures_are_reduced_with_their_boxes(tmp_path):
    found = Detections([[1280, 0, 2560, 1000]], [0.9], [0], ("cat",))
    item = judged(picture(tmp_path / "a.png", (1200, 2560)), 1.0, truths=(), found=found)
    (image,) = draw_worst(tmp_path, 1, [item])
    assert image.shape == (600, 1280, 3)
    y, x = np.nonzero((image[100:] != GREY).any(2))
    assert 635 <= x.min() <= 640 and 395 <= y.max() <= 405


def test_the_last_three_evaluations_stay(tmp_path):
    item = judged(picture(tmp_path / "a.png"), 1.0)
    for iteration in (900, 1000, 99_900, 100_000):
        draw_worst(tmp_path / "worst", iteration, [item])
    assert names(tmp_path / "worst") == ["01000", "100000", "99900"]


def test_a_resumption_replaces_what_it_undoes(tmp_path):
    item = judged(picture(tmp_path / "a.png"), 1.0)
    for iteration in (100, 200, 300):
        draw_worst(tmp_path / "worst", iteration, [item])
    (tmp_path / "worst" / "mine").mkdir()
    draw_worst(tmp_path / "worst", 200, [judged(item.path, 2.0)])
    assert names(tmp_path / "worst") == ["00100", "00200", "mine"]
    assert names(tmp_path / "worst" / "00200") == ["01_loss_2.00_a.jpg"]


def test_a_picture_that_is_gone_is_left_out(tmp_path, caplog):
    items = [judged(tmp_path / "gone.jpg", 9.0), judged(picture(tmp_path / "a.png"), 1.0)]
    assert len(draw_worst(tmp_path / "worst", 1, items)) == 1
    assert "gone.jpg" in caplog.text


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "worst").touch()
    with pytest.raises(DarkpyError, match="worst"):
        draw_worst(tmp_path / "worst", 1, [])


def batch(channels=3):
    images = np.zeros((2, channels, 60, 80), np.float32)
    images[0, 0] = 1  # red, or white
    truths = [np.array([[1, 0.5, 0.5, 0.5, 0.5]], np.float32), np.zeros((0, 5), np.float32)]
    return SimpleNamespace(images=images, truths=truths, paths=["x/a.jpg", "b:c.png"], iteration=7)


def test_a_batch_is_drawn_in_its_colours(tmp_path):
    first, second = draw_batch(batch(), ("cat", "dog"))
    assert first.shape == (60, 80, 3) and first[2, 2].tolist() == [0, 0, 255]
    assert (first[45, 20:60] != [0, 0, 255]).any(1).all()  # lower edge of the box
    assert not second.any()
    assert draw_batch(batch(1))[0][2, 2].tolist() == [255, 255, 255]


def test_augmented_pictures_are_files(tmp_path):
    paths = save_augmented(tmp_path / "new", batch(), ("cat", "dog"))
    assert [path.name for path in paths] == ["aug_7_0_a.jpg", "aug_7_1_b_c.jpg"]
    assert cv2.imread(str(paths[0])).shape == (60, 80, 3)
    (tmp_path / "file").touch()
    with pytest.raises(DarkpyError, match="file"):
        save_augmented(tmp_path / "file", batch())


@pytest.mark.parametrize(
    ("count", "shape"), [(1, (60, 80)), (3, (120, 160)), (16, (240, 320)), (99, (240, 320))]
)
def test_a_contact_sheet_has_rows_and_columns(count, shape):
    sheet = contact_sheet([np.full((60, 80, 3), k + 1, np.uint8) for k in range(count)])
    assert sheet.shape == (*shape, 3)
    assert set(sheet.ravel()) - {0} == set(range(1, min(count, 16) + 1))
    assert sheet[0, 0, 0] == 1


def test_a_contact_sheet_of_large_pictures_is_as_wide_as_a_page():
    assert contact_sheet([np.ones((608, 608, 3), np.uint8)] * 9).shape == (960, 960, 3)
    assert contact_sheet([]).size


def test_only_large_pictures_are_reduced():
    assert reduced(np.zeros((100, 300, 1), np.uint8), 150).shape == (50, 150, 1)
    small = np.zeros((10, 20, 3), np.uint8)
    assert reduced(small, 20) is small
