import cv2
import numpy as np
import pytest

from darkpy.errors import DarkpyError
from darkpy.train.chart import MAP, MAP_TRAIN, SMOOTH, VALID, draw_chart
from darkpy.train.metrics import MetricsFile
from tests.train.sample import HEADS, NAMES, evaluation, progress


def metrics(path, count, evaluated=(), **changes):
    file = MetricsFile(path, HEADS, NAMES)
    file.create()
    for i in range(1, count + 1):
        file.add(progress(i, **changes), evaluation(i) if i in evaluated else None)
    file.close()
    return path


def drawn(csv, title="", **settings):
    png = draw_chart(csv, title, **settings)
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)


def pixels(image, color, inside=True):
    """Count pixels of a colour "#rrggbb", in the frame of the curves or in the whole picture."""
    rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    part = image[130:765, 95:905] if inside else image
    return int((np.abs(part.astype(int) - rgb[::-1]).max(-1) < 12).sum())


def test_every_curve_is_there(tmp_path):
    image = drawn(metrics(tmp_path / "m.csv", 400, range(50, 401, 50)))
    assert image.shape == (1000, 1000, 3)
    for color in (SMOOTH, VALID, MAP, MAP_TRAIN):
        assert pixels(image, color) > 100, color


def test_without_evaluations_there_is_no_second_axis(tmp_path):
    image = drawn(metrics(tmp_path / "m.csv", 50))
    assert pixels(image, SMOOTH) > 200
    assert pixels(image, MAP, inside=False) == pixels(image, VALID, inside=False) == 0


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows_are_enough(tmp_path, count):
    image = drawn(metrics(tmp_path / "m.csv", count, evaluated=(1,)))
    assert image.shape == (1000, 1000, 3)
    assert (pixels(image, MAP) > 0) == (count > 0)


@pytest.mark.parametrize("loss", [float("nan"), -1.0, 1e30])
def test_any_loss_is_drawn(tmp_path, loss):
    csv = metrics(tmp_path / "m.csv", 20, evaluated=(10,), loss=loss, avg_loss=loss)
    assert pixels(drawn(csv), MAP) > 0


def test_a_loss_above_the_limit_of_the_chart_is_seen(tmp_path):
    csv = metrics(tmp_path / "m.csv", 100, loss=500.0, avg_loss=500.0)
    assert pixels(drawn(csv, max_loss=4.0), SMOOTH) > 200


def test_the_axis_reaches_the_last_iteration_to_come(tmp_path):
    csv = metrics(tmp_path / "m.csv", 100)
    image = drawn(csv, iterations=200)
    assert pixels(image[:, 510:], SMOOTH, inside=False) == 0
    assert pixels(drawn(csv)[:, 510:], SMOOTH, inside=False) > 0


@pytest.mark.parametrize("title", ["$\\frac", "강아지 yolo", "x" * 300])
def test_any_title_is_written(tmp_path, title):
    csv = metrics(tmp_path / "m.csv", 3)
    assert (drawn(csv, title)[10:50] != drawn(csv)[10:50]).any()


def test_the_same_file_gives_the_same_picture(tmp_path):
    csv = metrics(tmp_path / "m.csv", 30, evaluated=(20,))
    first = drawn(csv, "yolo")
    np.testing.assert_array_equal(first, drawn(csv, "yolo"))


def test_figures_that_cannot_be_read_are_an_error(tmp_path):
    with pytest.raises(DarkpyError, match=r"none.csv: cannot be read"):
        draw_chart(tmp_path / "none.csv")
