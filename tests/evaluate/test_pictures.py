import numpy as np
import pytest

import darkpy
from darkpy.evaluate.pictures import Pictures
from tests.tiny import write_model, write_picture


def test_what_cannot_be_read_is_left_out_and_the_rest_keeps_its_place(tmp_path, caplog):
    write_model(tmp_path)
    paths = [str(write_picture(tmp_path / f"{n}.png", 30 + n, 80, seed=n)) for n in range(7)]
    (tmp_path / "3.png").write_bytes(b"no picture")
    detector = darkpy.load(tmp_path / "tiny.cfg", tmp_path / "tiny.weights")
    pictures = Pictures(detector, paths)
    seen = list(pictures)
    assert [one.index for one in seen] == [0, 1, 2, 4, 5, 6]
    assert [one.path for one in seen] == paths[:3] + paths[4:]
    assert [(one.width, one.height) for one in seen][-1] == (80, 36)
    assert (pictures.failed, len(pictures)) == ([paths[3]], 7)
    assert "3.png" in caplog.text


def test_boxes_are_those_of_the_detector(tmp_path):
    write_model(tmp_path)
    path = write_picture(tmp_path / "a.png")
    detector = darkpy.load(tmp_path / "tiny.cfg", tmp_path / "tiny.weights")
    image = darkpy.data.image.read_image(path)
    for letter_box in (False, True):
        pictures = Pictures(detector, [str(path)], letter_box)
        (seen,) = pictures
        expected = detector.candidates(image, 0.01, letter_box, nms=0.6)
        found = pictures.boxes(seen, 0.01, 0.6)
        assert len(found) > 1
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.probs, expected.probs)
    assert len(pictures.boxes(seen, 0.01, 0)) > len(found)


@pytest.mark.parametrize("count", [1, 8, 9, 13, 17])
def test_groups_are_nearly_equal_and_send_each_picture_once(tmp_path, count, monkeypatch):
    write_model(tmp_path)
    paths = [str(write_picture(tmp_path / f"{n}.png", 30 + n, 80, seed=n)) for n in range(count)]
    detector = darkpy.load(tmp_path / "tiny.cfg", tmp_path / "tiny.weights")
    alone = [detector.forward(detector.prepare(darkpy.data.image.read_image(p))) for p in paths]
    monkeypatch.setattr(darkpy.Detector, "planned", True)
    seen = list(Pictures(detector, paths))
    assert [one.index for one in seen] == list(range(count))
    assert len(detector._plans) == 1 and next(iter(detector._plans)) <= min(count, 8)
    for one, expected in zip(seen, alone, strict=True):
        for index, output in one.outputs.items():
            # sums in another order
            np.testing.assert_allclose(output, expected[index], rtol=2e-6, atol=2e-6)


def test_a_picture_is_kept_or_read_again(tmp_path):
    write_model(tmp_path)
    path = write_picture(tmp_path / "a.png")
    detector = darkpy.load(tmp_path / "tiny.cfg", tmp_path / "tiny.weights")
    expected = darkpy.data.image.read_image(path)
    for keep in (False, True):
        pictures = Pictures(detector, [str(path)], keep=keep)
        (seen,) = pictures
        assert (seen.kept is not None) == keep
        np.testing.assert_array_equal(pictures.image(seen), expected)


def test_no_picture_is_no_work(tmp_path):
    write_model(tmp_path)
    assert not list(Pictures(darkpy.load(tmp_path / "tiny.cfg"), []))
