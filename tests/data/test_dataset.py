import logging
import os
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpy.data import dataset
from darkpy.data.dataset import (
    read_ahead,
    read_difficult,
    read_labels,
    read_list,
    read_truths,
)
from darkpy.errors import DarkpyError, DataError, ImageError


def written(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def labels(tmp_path, text, classes=None):
    return read_labels(written(tmp_path / "a.txt", text), classes).tolist()


def test_labels_are_class_and_box(tmp_path):
    text = "\ufeff0 0.5 .25 1e-1 0.125\r\n\r\n  7\t1 0 0.5 2 \n+3 0 0 0 0"
    rows = [[0, 0.5, 0.25, np.float32(0.1), 0.125], [7, 1, 0, 0.5, 2], [3, 0, 0, 0, 0]]
    assert labels(tmp_path, text) == rows


def test_labels_missing_or_empty(tmp_path):
    assert read_labels(tmp_path / "none.txt").shape == (0, 5)
    assert read_labels(written(tmp_path / "a.txt", "\n \n")).shape == (0, 5)
    assert read_labels(tmp_path / "none.txt").dtype == np.float32


@pytest.mark.parametrize(
    "line",
    [
        "0 .5 .5 .1",
        "0 .5 .5 .1 .1 .9",
        "0.0 .5 .5 .1 .1",
        "cat .5 .5 .1 .1",
        "0 0,5 0,5 .1 .1",
        "0 1_0 .5 .1 .1",
        "0 .5 .5 .1 x",
        "9" * 5000 + " .5 .5 .1 .1",
        "\0\0\0",
        "<html>",
    ],
)
def test_labels_stop_at_the_first_malformed_line(tmp_path, caplog, line):
    assert labels(tmp_path, f"1 .5 .5 .5 .5\n{line}\n2 .5 .5 .5 .5\n") == [[1, 0.5, 0.5, 0.5, 0.5]]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path / 'a.txt'}:2: expected 'class x y")
    assert len(record.getMessage()) < 400


def test_labels_leave_out_other_classes_and_what_is_not_finite(tmp_path, caplog):
    wrong = "0 nan .5 .5 .5", "2 .5 .5 .5 .5", "-1 .5 .5 .5 .5", "0 .5 inf .5 .5"
    text = "\n".join([*wrong, "1 .5 .5 .5 .5", "0 .5 .5 1e39 .5", "0 .5 .5 nan .5"])
    assert labels(tmp_path, text, classes=2) == [[1, 0.5, 0.5, 0.5, 0.5]]
    (record,) = caplog.records
    assert f"{tmp_path / 'a.txt'}:1: " in record.getMessage()
    assert "(6 such lines)" in record.getMessage()


def test_labels_of_a_class_beyond_memory_are_left_out(tmp_path, caplog):
    assert labels(tmp_path, "2000000000 .5 .5 .5 .5") == []
    assert "class 2000000000: expected 0 to 999999" in caplog.text


def test_labels_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="cannot be read"):
        read_labels(tmp_path)
    monkeypatch.setattr(dataset, "LONGEST_LABELS", 1 << 20)
    path = tmp_path / "long.txt"
    with path.open("wb") as file:
        os.truncate(file.fileno(), (1 << 20) + 1)
    with pytest.raises(DataError, match="longer than 1 MiB"):
        read_labels(path)


@given(data=st.binary(max_size=80) | st.text("0123456789.-e naif\n", max_size=80))
def test_labels_of_any_bytes(tmp_path_factory, data):
    path = written(tmp_path_factory.getbasetemp() / "any.txt", data)
    found = read_labels(path, classes=5)
    assert found.shape == (len(found), 5) and found.dtype == np.float32
    assert np.isfinite(found[:, 0]).all() and (found[:, 0] < 5).all()


def test_list_is_searched_beside_it_and_in_the_working_directory(tmp_path, monkeypatch):
    beside = written(tmp_path / "sets" / "Grüße 1.jpg", b"")
    elsewhere = written(tmp_path / "work" / "b.jpg", b"")
    monkeypatch.chdir(elsewhere.parent)
    text = f"\ufeffGrüße 1.jpg\r\n\n  b.jpg \r\n{elsewhere}\nnowhere.jpg"
    found = read_list(written(tmp_path / "sets" / "valid.txt", text))
    assert found == [str(beside), "b.jpg", str(elsewhere), str(tmp_path / "sets" / "nowhere.jpg")]


def test_list_in_latin_1(tmp_path):
    beside = written(tmp_path / "é.jpg", b"")
    assert read_list(written(tmp_path / "list.txt", "é.jpg\n".encode("latin-1"))) == [str(beside)]


def test_list_may_be_a_folder(tmp_path):
    for name in ("b.jpg", "a.PNG", "a.txt", "c"):
        written(tmp_path / "set" / name, b"")
    assert [os.path.basename(one) for one in read_list(tmp_path / "set")] == ["a.PNG", "b.jpg"]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (None, "cannot be read"),
        (b"", "names no picture"),
        (b"\n \r\n", "names no picture"),
        (b"a.jpg\0", "zero bytes"),
        (b"a.jpg\n" + b"x" * 5000, ":2: expected a path"),
    ],
)
def test_list_that_is_none(tmp_path, data, complaint):
    path = tmp_path / "list.txt"
    if data is not None:
        written(path, data)
    with pytest.raises(DarkpyError, match=complaint):
        read_list(path)


def test_truths_of_pictures(tmp_path, caplog):
    written(tmp_path / "labels" / "a.txt", "1 .5 .5 .5 .5")
    pictures = [str(tmp_path / "images" / name) for name in ("a.jpg", "b.jpg")]
    first, second = read_truths(pictures, 2)
    assert first.tolist() == [[1, 0.5, 0.5, 0.5, 0.5]]
    assert second.shape == (0, 5)
    assert "1 of 2 pictures have no label file" in caplog.text


def test_truths_that_are_all_missing(tmp_path):
    with pytest.raises(DataError, match=r"a\.txt: no such file, nor a label file"):
        read_truths([str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg")])


def test_difficult_pictures_need_not_exist(tmp_path):
    written(tmp_path / "labels" / "difficult_a.txt", "1 .5 .5 .5 .5")
    path = written(tmp_path / "difficult.txt", "JPEGImages/difficult_a.jpg\nother/b.jpg\n")
    first, second = read_difficult(path, 2, 2)
    assert first.tolist() == [[1, 0.5, 0.5, 0.5, 0.5]]
    assert len(second) == 0
    with pytest.raises(DataError, match="expected 3 lines, one per picture, got 2"):
        read_difficult(path, 3)


def test_read_ahead_keeps_the_order_and_few_results(rng):
    begun, gate = [], threading.Event()

    def read(path):
        begun.append(path)
        if path == "0":
            assert gate.wait(10)
        if path == "3":
            raise ImageError("3: broken")
        return int(path)

    results = read_ahead([str(n) for n in range(20)], read)
    gate.set()
    assert next(results) == ("0", 0)
    assert len(begun) <= 4
    values = [value for _, value in results]
    assert values[:2] == [1, 2] and values[3:] == list(range(4, 20))
    assert isinstance(values[2], DarkpyError)


def test_read_ahead_stops_when_nobody_asks():
    begun = []
    results = read_ahead([str(n) for n in range(1000)], lambda path: begun.append(path))
    next(results)
    results.close()
    assert len(begun) <= 5


def test_nothing_is_logged_of_what_is_right(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        labels(tmp_path, "0 .5 .5 .5 .5\n", 1)
    assert not caplog.records


def test_a_missing_picture_is_not_another_of_its_name(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "list.txt").write_text("sub/a.jpg\n")
    assert read_list(tmp_path / "list.txt") == [str(tmp_path / "sub" / "a.jpg")]
