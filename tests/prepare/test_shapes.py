"""The drawn data set: tight boxes, balanced classes, valid labels, the same for the same seed."""

import hashlib
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from darkpy.boxes import iou, to_centres
from darkpy.cfg import names_of, read_data
from darkpy.data.dataset import read_list, read_truths
from darkpy.data.image import read_image
from darkpy.prepare import shapes

PICTURES = range(60)


@pytest.fixture(scope="module")
def scenes() -> list[shapes.Scene]:
    return [shapes.draw_scene(3, number) for number in PICTURES]


@pytest.mark.parametrize("kind", range(len(shapes.NAMES)), ids=shapes.NAMES)
@pytest.mark.parametrize("turn", [0, 0.3, -0.2, 1.0])
def test_a_shape_touches_all_sides_of_its_box(kind, turn):
    outline = shapes.outline_of(kind, 60.4, turn) + np.array([50.3, 49.8])
    canvas = np.zeros((100, 100, 3), np.uint8)
    shapes._paint(canvas, outline, np.array([255, 255, 255]))
    rows, columns = (np.flatnonzero(canvas[:, :, 0].max(axis=axis) > 0) for axis in (1, 0))
    drawn = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]  # the outer sides of the pixels
    np.testing.assert_allclose(drawn, shapes.extent(outline), atol=1)


def test_shapes_differ_in_what_they_fill():
    areas = []
    for kind in range(len(shapes.NAMES)):
        outline = shapes.outline_of(kind, 2.0, 0)
        areas.append(cv2.contourArea(outline.astype(np.float32)))
    triangle = 3 * math.sqrt(3) / 4
    star = 5 * 0.45 * math.sin(math.pi / 5)
    np.testing.assert_allclose(areas, [math.pi, 2, triangle, star], rtol=0.01)


def test_objects_stand_out_from_what_is_around_them(scenes):
    saturated = []
    for scene in scenes:
        for x, y in (to_centres(scene.boxes)[:, :2]).astype(int):
            patch = scene.image[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0)
            saturated.append(1 - patch.min() / patch.max())
    assert np.mean(np.array(saturated) > 0.5) > 0.95


def test_classes_are_balanced_and_their_colours_are_any(scenes):
    classes = np.concatenate([scene.classes for scene in scenes])
    counts = np.bincount(classes, minlength=len(shapes.NAMES))
    assert counts.min() > 0.6 * counts.mean()
    hues = [[] for _ in shapes.NAMES]
    for scene in scenes:
        for kind, (x, y) in zip(scene.classes, to_centres(scene.boxes)[:, :2], strict=True):
            pixel = scene.image[int(y) : int(y) + 1, int(x) : int(x) + 1]
            hues[kind].append(int(cv2.cvtColor(pixel, cv2.COLOR_BGR2HSV)[0, 0, 0]))
    for found in hues:
        assert np.histogram(found, bins=6, range=(0, 180))[0].min() > 0


def test_objects_are_inside_of_all_sizes_and_hardly_overlap(scenes):
    sizes = []
    for scene in scenes:
        height, width = scene.image.shape[:2]
        assert len(scene.boxes) <= shapes.MOST
        assert (scene.boxes[:, :2] >= 0).all()
        assert (scene.boxes[:, 2:] <= (width, height)).all()
        boxes = to_centres(scene.boxes)
        assert (iou(boxes, boxes) - np.eye(len(boxes)) <= shapes.MOST_COVERED + 1e-9).all()
        sizes.extend(boxes[:, 2] / min(width, height))
    assert min(sizes) < 0.2 and max(sizes) > 0.4


def test_a_picture_depends_on_seed_and_number_alone():
    again, other, next_ = (shapes.draw_scene(*one) for one in ((3, 5), (4, 5), (3, 6)))
    first = shapes.draw_scene(3, 5)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.boxes.tobytes() == again.boxes.tobytes()
    for one in (other, next_):
        assert first.image.tobytes() != one.image.tobytes()


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_written_set_is_read_as_it_was_drawn(tmp_path):
    valid = shapes.write_shapes(tmp_path, 5, 2, seed=1)
    data = read_data(tmp_path / "shapes.data", strict=True)
    assert names_of(data) == shapes.NAMES and data.classes == len(shapes.NAMES)
    paths = [*read_list(data.train), *read_list(data.valid)]
    assert [Path(path).relative_to(tmp_path).as_posix() for path in paths[5:]] == valid
    assert len(paths) == len(set(paths)) == 7
    for number, (path, truths) in enumerate(zip(paths, read_truths(paths, 4), strict=True)):
        scene = shapes.draw_scene(1, number)
        height, width = scene.image.shape[:2]
        assert read_image(path).shape == scene.image.shape
        assert truths[:, 0].tolist() == scene.classes.tolist()
        pixels = truths[:, 1:] * (width, height, width, height)
        np.testing.assert_allclose(pixels, to_centres(scene.boxes), atol=1e-3)


def test_written_twice_is_the_same(tmp_path):
    shapes.write_shapes(tmp_path, 3, 1)
    first = digests(tmp_path)
    shapes.write_shapes(tmp_path, 3, 1)
    assert digests(tmp_path) == first
