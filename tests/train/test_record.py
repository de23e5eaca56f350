import logging
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from darkpy.detections import Detections
from darkpy.errors import DarkpyError
from darkpy.train.manifest import Manifest, read_manifest
from darkpy.train.metrics import read_metrics
from darkpy.train.record import Record
from tests.train.sample import HEADS, NAMES, evaluation, progress


def manifest():
    return Manifest(("detector", "train"), "/", "1", 0, "cpu", "now")


def started(folder):
    record = Record(folder, HEADS, NAMES, "tiny")
    record.start(manifest())
    return record


def worst(path):
    cv2.imwrite(str(path), np.full((60, 80, 3), 90, np.uint8))
    truths = np.array([[0, 0.5, 0.5, 0.4, 0.4]], np.float32)
    return SimpleNamespace(path=str(path), truths=truths, found=Detections.empty(NAMES), loss=2.0)


def test_a_run_leaves_its_record(tmp_path):
    record = started(tmp_path / "run")
    record.add(progress(1))
    record.add(progress(2), evaluation(2))
    record.add_worst(2, [worst(tmp_path / "a.png")])
    record.draw_chart(tmp_path / "chart_tiny.png", iterations=10)
    record.write_verdict(["It learns.", "Go on."])
    record.close()
    found = {path.name.split(".")[0] for path in (tmp_path / "run").iterdir()}
    assert found == {"manifest", "metrics", "events", "chart", "worst", "verdict"}
    assert (tmp_path / "run" / "verdict.txt").read_bytes() == b"It learns.\nGo on.\n"
    assert (tmp_path / "run" / "chart.png").read_bytes() == (
        tmp_path / "chart_tiny.png"
    ).read_bytes()
    assert [path.name for path in tmp_path.glob("run/worst/*/*")] == ["01_loss_2.00_a.jpg"]


def without_times(path):
    return [line.split(b",")[:-3] for line in path.read_bytes().split(b"\r\n")]


def test_killed_and_resumed_is_as_without_a_stop(tmp_path):
    whole = started(tmp_path / "whole")
    for i in range(1, 9):
        whole.add(progress(i), evaluation(i) if i % 3 == 0 else None)
    whole.close()
    killed = started(tmp_path / "killed")
    for i in range(1, 7):
        killed.add(progress(i, seconds=9.9), evaluation(i) if i % 3 == 0 else None)
        if i == 4:
            offsets = killed.offsets()
    killed.close()
    with open(tmp_path / "killed" / "metrics.csv", "ab") as file:
        file.write(b"7,0.1,3.")
    resumed = Record(tmp_path / "killed", HEADS, NAMES)
    resumed.resume(offsets, ["detector", "train", "-resume"])
    for i in range(5, 9):
        resumed.add(progress(i), evaluation(i) if i % 3 == 0 else None)
    resumed.close()
    paths = [tmp_path / name / "metrics.csv" for name in ("killed", "whole")]
    assert without_times(paths[0]) == without_times(paths[1])
    (again,) = read_manifest(tmp_path / "killed").resumed
    assert again["iteration"] == 4
    assert len(list((tmp_path / "killed").glob("events*"))) == 2


def test_offsets_are_plain_numbers(tmp_path):
    record = started(tmp_path)
    record.add(progress(1))
    size = (tmp_path / "metrics.csv").stat().st_size
    assert record.offsets() == {"iteration": 1, "metrics.csv": size}
    record.close()


def test_a_second_run_does_not_overwrite_the_first(tmp_path):
    started(tmp_path).close()
    before = (tmp_path / "manifest.json").read_bytes()
    record = Record(tmp_path, HEADS, NAMES)
    with pytest.raises(DarkpyError, match="is of an earlier run"):
        record.start(manifest())
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(DarkpyError, match="run: cannot be made"):
        Record(tmp_path / "run", HEADS, NAMES).start(manifest())


def test_what_cannot_be_written_later_is_one_warning(tmp_path, caplog):
    record = started(tmp_path / "run")
    for name in ("chart.png", "verdict.txt"):
        (tmp_path / "run" / name).mkdir()  # in the way
    (tmp_path / "run" / "worst").touch()
    with caplog.at_level(logging.WARNING):
        for i in (1, 2):
            record.add(progress(i), evaluation(i))
            record.add_worst(i, [worst(tmp_path / "a.png")])
            record.write_verdict(["It learns."])
        record.draw_chart(tmp_path / "other.png")
        (tmp_path / "run" / "metrics.csv").write_bytes(b"")
        record.draw_chart()
    record.close()
    assert len(caplog.records) == 4
    assert all(one.getMessage().endswith("goes on without") for one in caplog.records)
    assert (tmp_path / "other.png").is_file()


def test_a_manifest_that_is_gone_does_not_stop_a_resumption(tmp_path, caplog):
    record = started(tmp_path)
    record.add(progress(1))
    offsets = record.offsets()
    record.close()
    (tmp_path / "manifest.json").unlink()
    record = Record(tmp_path, HEADS, NAMES)
    record.resume(offsets)
    record.add(progress(2))
    record.close()
    assert "holds no manifest.json" in caplog.text
    assert len(read_metrics(tmp_path / "metrics.csv")["loss"]) == 2
