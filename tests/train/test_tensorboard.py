import struct

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from darkpy.train.tensorboard import Events
from tests.train.sample import evaluation, progress


def events(path):
    """Read an event file: records of length, its sum, data, its sum."""
    data = path.read_bytes()
    found = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        assert struct.unpack("<I", data[8:12])[0] == masked_crc32c(data[:8])
        body, end = data[12 : 12 + length], data[12 + length : 16 + length]
        assert struct.unpack("<I", end)[0] == masked_crc32c(body)
        found.append(Event.FromString(body))
        data = data[16 + length :]
    return found


def values(found):
    return {(e.step, value.tag): value for e in found for value in e.summary.value}


def test_tags_are_those_of_pytorch_yolov3(tmp_path):
    log = Events(tmp_path)
    log.add(progress(1))
    log.add(progress(2), evaluation(2))
    log.close()
    (path,) = tmp_path.glob("events.out.tfevents.*")
    found = values(events(path))
    training = {"iou_loss", "obj_loss", "class_loss", "loss", "learning_rate"}
    assert {tag for step, tag in found if step == 1} == {f"train/{name}" for name in training}
    measured = {"precision", "recall", "mAP", "f1", "loss", "mAP50_95"}
    assert {tag for step, tag in found if step == 2} == {
        *(f"train/{name}" for name in training | {"mAP"}),
        *(f"validation/{name}" for name in measured),
    }
    assert found[2, "validation/mAP"].simple_value == 0.5
    assert found[2, "train/mAP"].simple_value == np.float32(0.9)
    parts = [found[1, f"train/{part}_loss"].simple_value for part in ("iou", "obj", "class")]
    assert sum(parts) == pytest.approx(found[1, "train/loss"].simple_value)


def test_without_training_pictures_measured_there_is_no_point(tmp_path):
    log = Events(tmp_path)
    log.add(progress(1), evaluation(1, train_map50=float("nan")))
    log.close()
    (path,) = tmp_path.glob("events*")
    assert (1, "train/mAP") not in values(events(path))


def test_a_resumption_hides_what_it_undoes(tmp_path):
    for first in (1, 3):
        log = Events(tmp_path, first)
        log.add(progress(first))
        log.close()
    paths = sorted(tmp_path.glob("events*"), key=lambda path: path.suffix)
    assert len(paths) == 2  # within a second, too
    _, start, figures = events(paths[1])
    assert (start.session_log.status, start.step) == (SessionLog.START, 3)
    assert figures.step == 3


def test_pictures_are_reduced(tmp_path):
    log = Events(tmp_path)
    log.add_images(7, [np.full((600, 1200, 3), 90, np.uint8), np.zeros((10, 20, 3), np.uint8)])
    log.close()
    (path,) = tmp_path.glob("events*")
    found = values(events(path))
    large = found[7, "validation/worst_1"].image
    small = found[7, "validation/worst_2"].image
    assert (large.width, large.height, large.colorspace) == (480, 240, 3)
    assert (small.width, small.height) == (20, 10)
    assert large.encoded_image_string.startswith(b"\xff\xd8")


def test_an_evaluation_is_on_disk_at_once(tmp_path):
    log = Events(tmp_path)
    log.add(progress(1), evaluation(1))
    (path,) = tmp_path.glob("events*")
    assert (1, "validation/mAP") in values(events(path))
    log.close()


def test_a_failing_disk_is_one_warning(tmp_path, caplog):
    (tmp_path / "file").touch()
    log = Events(tmp_path / "file")  # a file where the folder should be
    for i in range(1, 30):
        log.add(progress(i), evaluation(i))
    log.add_images(29, [np.zeros((5, 5, 3), np.uint8)])
    log.close()
    assert caplog.text.count("no more events for TensorBoard") == 1


def test_a_disk_that_fills_up_is_one_warning(tmp_path, caplog, monkeypatch):
    log = Events(tmp_path)
    log.add(progress(1))

    def full(event):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._writer, "write", full)
    for i in range(2, 30):
        log.add(progress(i), evaluation(i))
    monkeypatch.undo()
    log.close()
    assert caplog.text.count("No space left on device; the training goes on") == 1
