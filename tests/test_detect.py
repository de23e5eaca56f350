"""The Python face: load and Detector."""

import numpy as np
import pytest

import darkpy
from darkpy import DarkpyError, DeviceError, NetworkError, WeightsError
from darkpy.boxes import correct
from darkpy.decode import DECODE
from tests.tiny import write_model


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path)


@pytest.fixture
def detector(folder):
    return darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", folder / "tiny.names")


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (48, 80, 3), np.uint8)


def test_detects_in_one_picture_or_in_many(detector, image):
    found = detector.detect(image, thresh=0.1)
    assert len(found) > 0 and found.names == ("cat", "dog")
    assert (found.confidence[:-1] >= found.confidence[1:]).all()
    assert (found.confidence > 0.1).all()
    many = detector.detect([image, image[:, ::-1]], thresh=0.1)
    np.testing.assert_array_equal(many[0].xyxy, found.xyxy)
    assert len(many) == 2 and not np.array_equal(many[1].xyxy, found.xyxy)


def test_letter_box_is_what_net_says_unless_told(folder, image):
    (folder / "tiny.cfg").write_text(
        (folder / "tiny.cfg").read_text().replace("[net]\n", "[net]\nletter_box=1\n")
    )
    boxed = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights")
    assert boxed.letter_box
    found = boxed.detect(image, 0.1)
    np.testing.assert_array_equal(found.xyxy, boxed.detect(image, 0.1, letter_box=True).xyxy)
    assert not np.array_equal(found.xyxy, boxed.detect(image, 0.1, letter_box=False).xyxy)


def test_without_suppression_boxes_are_still_those_of_the_picture(detector, image):
    outputs = detector.forward(detector.prepare(image, letter_box=True))
    found = detector.decode(outputs, (80, 48), 0.1, letter_box=True, nms=0)
    node = detector.detection_heads[0]
    raw = DECODE["yolo"](outputs[node.index], node.layer, 64, 64, 0.1)
    np.testing.assert_array_equal(found.boxes, correct(raw.boxes, 64, 64, 80, 48, True))
    assert len(found) > len(detector.decode(outputs, (80, 48), 0.1, letter_box=True))


def test_devices(folder, image):
    cpu, reference = (
        darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", device=name)
        for name in ("auto", "reference")
    )
    assert (cpu.device, reference.device) == ("cpu", "reference")
    one, two = cpu.detect(image, 0.1), reference.detect(image, 0.1)
    # sums in another order: float32 pixels of a picture of 80
    np.testing.assert_allclose(one.xyxy, two.xyxy, atol=1e-3)
    for wrong in ("tpu", "cuda:x", "cuda:", 0, None):
        with pytest.raises(DeviceError, match=f"device {wrong!r}: expected 'auto', 'cpu', 'cuda'"):
            darkpy.load(folder / "tiny.cfg", device=wrong)
    with pytest.raises(DeviceError, match=r"device 'cuda:0': .*'cpu' computes on the processor"):
        darkpy.load(folder / "tiny.cfg", device="cuda:0")


def test_a_backbone_is_refused(folder):
    whole = (folder / "tiny.weights").read_bytes()
    for held, message in ((20, "holds no layer of 5"), (20 + 4 * 248, r"only layers 0\.\.1 of 5")):
        (folder / "cut.weights").write_bytes(whole[:held])
        with pytest.raises(WeightsError, match=message):
            darkpy.load(folder / "tiny.cfg", folder / "cut.weights")


def test_what_is_no_input_is_refused(detector, image):
    for x in (
        None,
        np.zeros((3, 64, 65)),
        np.zeros((3, 64, 64), complex),
        np.zeros((1, 3, 64, 64)),
    ):
        with pytest.raises(NetworkError, match=r"expected an input of shape \(3, 64, 64\)"):
            detector.forward(x)
    for thresh in (float("nan"), -0.1, 1.1, "a", None):
        with pytest.raises(DarkpyError, match="expected a number from 0 to 1"):
            detector.detect(image, thresh)
    with pytest.raises(WeightsError, match="parameters of 0 layers; expected 5"):
        darkpy.Detector(detector.network, [])
