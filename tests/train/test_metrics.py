import csv
import logging
import math
import time

import numpy as np
import pytest

from darkpy.errors import DarkpyError
from darkpy.train.metrics import MetricsFile, columns, read_metrics
from tests.train.sample import HEADS, NAMES, evaluation, progress


def written(path, iterations, evaluated=(), names=NAMES):
    """Write a metrics.csv of a run without an interruption."""
    metrics = MetricsFile(path, HEADS, names)
    metrics.create()
    for i in iterations:
        metrics.add(progress(i), evaluation(i) if i in evaluated else None)
    metrics.close()
    return path.read_bytes()


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def test_a_row_an_iteration_with_its_evaluation(tmp_path):
    written(tmp_path / "m.csv", range(1, 4), evaluated=(2,))
    first, second, third = rows(tmp_path / "m.csv")
    assert [row["iteration"] for row in (first, second, third)] == ["1", "2", "3"]
    assert float(third["loss"]) == 3 / 3 and float(second["epoch"]) == 2 / 7
    assert first["yolo_16_count"] == "3" and first["yolo_23_iou"] == "nan"
    assert float(first["yolo_23_class"]) == 3 / 6
    assert (first["map50"], first["ap_platelet"], third["val_loss"]) == ("", "", "")
    assert (second["val_loss"], second["map50"], second["ap_platelet"]) == ("2.0", "0.5", "0.4")
    assert (second["seconds"], second["waited"], second["images_per_second"]) == (
        *("0.5", "0.1"),
        "128.0",
    )


def test_times_are_the_last_columns():
    assert columns(HEADS, NAMES)[-3:] == ["seconds", "waited", "images_per_second"]
    assert columns(HEADS, NAMES)[:3] == ["iteration", "epoch", "loss"]


def test_names_are_made_safe_and_different():
    names = ('a "b", c', "=1+1", "강아지", "a b", "a.b")
    found = [name for name in columns((), names) if name.startswith("ap_")]
    assert found == ["ap_a__b___c", "ap__1_1", "ap_강아지", "ap_a_b_3", "ap_a_b_4"]


def test_of_many_classes_none_has_a_column(tmp_path):
    names = tuple(map(str, range(200)))
    metrics = MetricsFile(tmp_path / "m.csv", HEADS, names)
    metrics.create()
    metrics.add(progress(1), evaluation(1, ap=np.zeros(200)))
    metrics.close()
    (row,) = rows(tmp_path / "m.csv")
    assert not any(name.startswith("ap_") for name in row)
    assert row["train_map50"] == "0.9" and row["seconds"] == "0.5"


@pytest.mark.parametrize("value", [1 / 3, 1e-300, float("inf"), np.float32(0.1), np.float64(0.1)])
def test_numbers_come_back_as_they_were(tmp_path, value):
    metrics = MetricsFile(tmp_path / "m.csv", HEADS, NAMES)
    metrics.create()
    metrics.add(progress(1, loss=value, batch=np.int64(64)), None)
    metrics.close()
    found = read_metrics(tmp_path / "m.csv")
    assert found["loss"][0] == float(value)
    assert rows(tmp_path / "m.csv")[0]["batch"] == "64"


@pytest.mark.parametrize("torn", [b"", b"5,0.7", b"5,0.7,0.6\r\n6,", b"\r"])
def test_resumed_is_byte_for_byte_as_without_a_stop(tmp_path, torn):
    whole = written(tmp_path / "whole.csv", range(1, 8), evaluated=(3, 6))
    path = tmp_path / "m.csv"
    metrics = MetricsFile(path, HEADS, NAMES)
    metrics.create()
    for i in range(1, 6):
        metrics.add(progress(i), evaluation(i) if i == 3 else None)
        if i == 3:
            size = metrics.size
    metrics.close()
    path.write_bytes(path.read_bytes() + torn)
    metrics = MetricsFile(path, HEADS, NAMES)
    metrics.resume(size)
    for i in range(4, 8):
        metrics.add(progress(i), evaluation(i) if i == 6 else None)
    metrics.close()
    assert path.read_bytes() == whole


def test_each_row_is_in_the_file_at_once(tmp_path):
    metrics = MetricsFile(tmp_path / "m.csv", HEADS, NAMES)
    metrics.create()
    metrics.add(progress(1), None)
    assert len(rows(tmp_path / "m.csv")) == 1
    assert metrics.size == (tmp_path / "m.csv").stat().st_size
    metrics.close()


def test_lost_rows_are_reported_and_a_torn_one_is_dropped(tmp_path, caplog):
    path = tmp_path / "m.csv"
    whole = written(path, range(1, 4))
    path.write_bytes(whole[:-5])
    metrics = MetricsFile(path, HEADS, NAMES)
    metrics.resume(len(whole))
    metrics.close()
    assert "some rows before the resumption are lost" in caplog.text
    assert [row["iteration"] for row in rows(path)] == ["1", "2"]


def test_a_file_that_is_gone_begins_again(tmp_path, caplog):
    metrics = MetricsFile(tmp_path / "m.csv", HEADS, NAMES)
    metrics.resume(1234)
    metrics.add(progress(9), None)
    metrics.close()
    assert "is gone" in caplog.text
    assert [row["iteration"] for row in rows(tmp_path / "m.csv")] == ["9"]


def test_other_columns_are_refused(tmp_path):
    size = len(written(tmp_path / "m.csv", [1]))
    with pytest.raises(DarkpyError, match=r"m.csv:1: is of another network.*yolo_99_box"):
        MetricsFile(tmp_path / "m.csv", ("yolo_99",), NAMES).resume(size)


def test_an_earlier_run_is_not_overwritten(tmp_path):
    before = written(tmp_path / "m.csv", [1])
    with pytest.raises(DarkpyError, match=r"m.csv: is of an earlier run"):
        MetricsFile(tmp_path / "m.csv", HEADS, NAMES).create()
    assert (tmp_path / "m.csv").read_bytes() == before


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DarkpyError, match="cannot be written"):
        MetricsFile(tmp_path / "no" / "m.csv", HEADS, NAMES).create()
    (tmp_path / "m.csv").mkdir()
    with pytest.raises(DarkpyError, match="cannot be resumed"):
        MetricsFile(tmp_path / "m.csv", HEADS, NAMES).resume(5)


class Full:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def seek(self, *where):
        return self.file.seek(*where)

    def write(self, data):
        fits = self.file.write(data[: self.room])
        self.room -= fits
        return fits

    def close(self):
        self.file.close()


def test_rows_wait_for_a_full_disk(tmp_path, caplog):
    path = tmp_path / "m.csv"
    metrics = MetricsFile(path, HEADS, NAMES)
    metrics.create()
    metrics.add(progress(1), None)
    metrics._file = full = Full(metrics._file, 30)
    size = metrics.size
    with caplog.at_level(logging.WARNING):
        metrics.add(progress(2), None)
        metrics.add(progress(3), None)
    assert caplog.text.count("cannot be written: no space is left") == 1
    assert metrics.size == size
    assert len(read_metrics(path)["loss"]) == 1  # what is torn does not count
    full.room = 1 << 20
    metrics.add(progress(4), None)
    metrics.close()
    assert path.read_bytes() == written(tmp_path / "whole.csv", range(1, 5))


def test_few_rows_of_a_long_run_are_read(tmp_path):
    written(tmp_path / "m.csv", range(1, 1001), evaluated=(333, 777))
    found = read_metrics(tmp_path / "m.csv", most=50)
    assert {333, 777, 1000} <= set(found["iteration"])
    assert 50 <= len(found["loss"]) <= 53
    assert list(found["map50"][~np.isnan(found["map50"])]) == [0.5, 0.5]


def test_a_hundred_thousand_rows_are_read_in_time(tmp_path):
    path = tmp_path / "m.csv"
    start = written(path, [1])
    header, row, _ = start.split(b"\r\n")
    path.write_bytes(header + b"\r\n" + (row + b"\r\n") * 100_000)
    before = time.process_time()
    assert len(read_metrics(path, most=4000)["loss"]) <= 4001
    assert time.process_time() - before < 1.5


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "is empty"),
        (b"iteration,loss\r\n1,2,3\r\n", "not 2 numbers"),
        (b"iteration,loss\r\n1,dog\r\n", "not 2 numbers"),
        (b"iteration,loss\r\n\xff,1\r\n", "not 2 numbers"),
    ],
)
def test_what_is_no_metrics_file_is_refused(tmp_path, text, complaint):
    (tmp_path / "m.csv").write_bytes(text)
    with pytest.raises(DarkpyError, match=rf"m.csv: .*{complaint}"):
        read_metrics(tmp_path / "m.csv")
    with pytest.raises(DarkpyError, match=r"none.csv: cannot be read"):
        read_metrics(tmp_path / "none.csv")


def test_an_iteration_that_took_no_time_has_no_rate(tmp_path):
    metrics = MetricsFile(tmp_path / "m.csv", HEADS, NAMES)
    metrics.create()
    metrics.add(progress(1, seconds=0.0), None)
    metrics.close()
    assert not math.isinf(read_metrics(tmp_path / "m.csv")["images_per_second"][0])
