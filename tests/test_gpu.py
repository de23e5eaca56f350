"""Detection on a GPU, from load to boxes; here its kernels run on the CPU, in CuPy's place."""

import json
import re

import cv2
import numpy as np
import pytest

import darkpy
from darkpy.cfg import read_names
from darkpy.cli import main
from darkpy.data.dataset import read_list, read_truths
from darkpy.data.image import read_image
from darkpy.detect import FINDERS
from darkpy.errors import DeviceError, ImageError, OutOfMemory
from darkpy.evaluate import report
from darkpy.evaluate.match import match
from darkpy.evaluate.pictures import Pictures
from darkpy.plan.cuda import ends
from tests import test_detect_oracle as oracle
from tests.conftest import SHARED
from tests.hostcuda import missing
from tests.tiny import write_model

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def folder(tmp_path):
    return write_model(tmp_path)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (48, 80, 3), np.uint8)


def same(found, wanted, atol):
    """Compare detections box by box, in whatever order; atol in pixels."""
    assert len(found) == len(wanted) > 0
    for box, class_id in zip(found.xyxy, found.class_id, strict=True):
        assert np.abs(wanted.xyxy[wanted.class_id == class_id] - box).max(1).min() <= atol


def test_finds_the_boxes_that_the_processor_finds(gpu, folder, image):
    files = (folder / "tiny.cfg", folder / "tiny.weights")
    here = darkpy.load(*files, device="cpu").detect(image, 0.1)
    for precision, atol in (("fp32", 1e-3), ("fp16", 0.1), ("bf16", 1)):  # a picture of 80 pixels
        there = darkpy.load(*files, device="cuda:0", precision=precision).detect(image, 0.1)
        same(there, here, atol)
        same(here, there, atol)


# Of fp32 sums are in another order. The half precision of every layer moves a box by half a pixel,
# of a picture whose sides are twice those of the network, and a confidence by .002.
@pytest.mark.skipif(not oracle.RUNS, reason="real weights and pictures (../shared) are not here")
@pytest.mark.parametrize(
    ("precision", "pixels", "confidence"), [("fp32", 5e-3, 1e-5), ("fp16", 1, 5e-3)]
)
def test_boxes_of_real_weights_are_those_of_the_processor_and_of_the_c_program(
    gpu, precision, pixels, confidence
):
    files = [oracle.MODELS / f"yolo-fastest-1.1.{kind}" for kind in ("cfg", "weights")]
    (record,) = [
        one
        for one in json.loads((oracle.ORACLE / "yolo-fastest-1.1.plain.json").read_text())
        if one["filename"].endswith("dog.jpg")
    ]
    image = read_image(SHARED / "data" / record["filename"])
    size = [image.shape[1], image.shape[0]] * 2
    there = darkpy.load(*files, device="cuda:0", precision=precision).candidates(image, 0.1)
    here = darkpy.load(*files, device="cpu").candidates(image, 0.1)
    assert len(there) == len(here) > 10
    for box, probs in zip(here.boxes, here.probs, strict=True):
        near = np.abs((there.boxes - box) * size).max(1) < pixels
        assert (near & (np.abs(there.probs - probs).max(1) < confidence)).any(), (box, probs.max())
    names = read_names(SHARED / "data" / "coco128" / "coco.names")
    oracle.agree(there, list(oracle.true_objects(record, names)), record["filename"])


def test_a_gpu_is_taken_if_there_is_one_and_computes_in_half_precision(gpu, folder):
    detector = darkpy.load(folder / "tiny.cfg")
    assert (detector.device, detector.precision) == ("cuda:0", "fp16")
    assert darkpy.load(folder / "tiny.cfg", strict=True).precision == "fp32"
    with pytest.raises(DeviceError, match="strict arithmetic takes precision 'fp32'"):
        darkpy.load(folder / "tiny.cfg", strict=True, precision="tf32")


def test_several_pictures_at_once(gpu, folder, image):
    files = (folder / "tiny.cfg", folder / "tiny.weights")
    detector = darkpy.load(*files, device="cuda", precision="fp32")
    pictures = [image, image[:, ::-1].copy(), image[::-1].copy()] * 3
    for one, found in zip(pictures, detector.detect(pictures, 0.1), strict=True):
        np.testing.assert_allclose(found.xyxy, detector.detect(one, 0.1).xyxy, atol=1e-3)


def test_a_stream_of_the_callers_is_not_computed_on(gpu, folder, image):
    import cupy

    with cupy.cuda.Device(1), cupy.cuda.Stream(non_blocking=True) as stream:
        detector = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", device="cuda:1")
        found = detector.detect([image] * 3, 0.1)
        detector.forward(detector.prepare(image))
        assert cupy.cuda.get_current_stream() is stream
    assert len(found[0]) > 0


@pytest.mark.parametrize("letter_box", [False, True])
@pytest.mark.parametrize("relative", [False, True])
def test_boxes_before_they_are_sorted_are_those_of_the_processor(
    gpu, folder, image, letter_box, relative
):
    files = (folder / "tiny.cfg", folder / "tiny.weights")
    here, there = (
        darkpy.load(*files, device=device, precision="fp32").candidates(
            image, 0.1, letter_box, 0.3, relative=relative
        )
        for device in ("cpu", "cuda:0")
    )
    assert len(here) == len(there) > 3
    orders = [np.lexsort(one.boxes.round(2).T) for one in (here, there)]
    scale = 1 if relative else 80
    for name, atol in (("boxes", 1e-5 * scale), ("objectness", 1e-5), ("probs", 1e-5)):
        ours, theirs = (getattr(one, name)[k] for one, k in zip((here, there), orders, strict=True))
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=atol)


def test_more_boxes_than_are_brought_over_are_found_here(gpu, folder, image, monkeypatch):
    files = (folder / "tiny.cfg", folder / "tiny.weights")
    detector = darkpy.load(*files, device="cuda:0", precision="fp32")
    wanted = detector.detect(image, 0.1)
    monkeypatch.setattr(ends, "MOST", 2)
    detector._finders.clear()
    same(detector.detect(image, 0.1), wanted, 1e-3)


def test_boxes_are_found_without_the_ops_of_yolo_heads(gpu, folder, image):
    files = (folder / "tiny.cfg", folder / "tiny.weights")
    detector = darkpy.load(*files, device="cuda:0", precision="fp32")
    ((index, output),) = detector.plan.outputs.items()
    wanted = detector.forward(detector.prepare(image))[index]
    output[...] = np.nan  # its memory is that of earlier maps too
    assert len(detector.detect(image, 0.1)) > 0
    assert not np.isclose(output[0].get(), wanted, atol=1e-2).all()


def test_what_finds_boxes_is_kept_for_some_thresholds(gpu, folder, image):
    detector = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", device="cuda:0")
    for thresh in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        detector.detect(image, thresh)
    assert len(detector._finders) == FINDERS
    first = next(iter(detector._finders.values()))
    detector.detect(image, 0.3)
    assert next(iter(detector._finders.values())) is first


def test_no_picture_is_refused_as_on_the_processor(gpu, folder):
    detector = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", device="cuda:0")
    with pytest.raises(ImageError, match="expected an array"):
        detector.detect(np.zeros((4, 4, 2), np.uint8))


@pytest.fixture
def measured(folder, rng, monkeypatch):
    """Ten pictures, of which one cannot be read, and labels: most of what the processor finds.

    Of noise: where a picture is plain, boxes are equally sure, and rounding says which is left.
    """
    monkeypatch.chdir(folder)
    detector = darkpy.load("tiny.cfg", "tiny.weights", device="cpu")
    for n in range(10):
        image = rng.integers(0, 256, (30 + n, 80, 3), np.uint8)
        (folder / f"{n}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
        found = detector.candidates(image, 0.3)
        rows = zip(found.boxes[n % 3 :], found.probs.argmax(1)[n % 3 :], strict=True)
        lines = [f"{k} {' '.join(map(str, box.tolist()))}\n" for box, k in rows]
        (folder / f"{n}.txt").write_text("".join(lines))
    (folder / "4.png").write_bytes(b"no picture")
    (folder / "valid.txt").write_text("".join(f"{n}.png\n" for n in range(10)))
    return folder


def judged(device, asked):
    """Return the report, and all that was seen, of a detector on a device."""
    detector = darkpy.load("tiny.cfg", "tiny.weights", device=device, precision="fp32")
    paths = read_list("valid.txt")
    truths = read_truths(paths, detector.classes)
    pictures = Pictures(detector, paths, asked=asked)
    seen = list(pictures)
    found = [pictures.boxes(one, report.THRESH, report.NMS) for one in seen]
    pairs = zip(found, seen, strict=True)
    matches = [match(one.boxes, one.probs, truths[place.index]) for one, place in pairs]
    assert pictures.failed == [paths[4]] and len(detector._plans) <= 1
    return report.evaluate(matches, detector.classes), seen


@pytest.mark.parametrize("most", [ends.MANY, 20], ids=["room", "little room"])
def test_pictures_are_measured_as_on_the_processor(gpu, measured, most, monkeypatch):
    monkeypatch.setattr(ends, "MANY", most)
    wanted, _ = judged("cpu", None)
    found, seen = judged("cuda:0", (report.THRESH, report.NMS))
    assert all(one.found is not None and not one.outputs for one in seen)
    assert 0.2 < wanted.map < 1
    # one detection that rounding moves past another changes the precision of a few
    assert found.map == pytest.approx(wanted.map, abs=1e-3)
    np.testing.assert_array_equal(found.truths, wanted.truths)
    assert abs(found.tp - wanted.tp).max() <= 1


@pytest.mark.parametrize("command", ["map", "valid", "recall", "test"])
def test_the_commands_print_and_write_the_same_numbers(gpu, measured, command, capfd, monkeypatch):
    numbers, sizes, find = [], [], darkpy.Detector.find

    def watched(self, images, *args, **how):
        sizes.append(len(images))
        return find(self, images, *args, **how)

    monkeypatch.setattr(darkpy.Detector, "find", watched)
    for device in ("-1", "0"):
        words = ["tiny.data", "tiny.cfg", "tiny.weights", "-i", device, "--precision", "fp32"]
        words += ["valid.txt", "-dont_show", "-ext_output"] if command == "test" else []
        with pytest.raises(SystemExit) as stop:
            main(["detector", command, *words])
        assert stop.value.code == 1  # of a picture that cannot be read
        text = "".join(capfd.readouterr())
        text += "".join(path.read_text() for path in sorted((measured / "results").glob("*")))
        timed = "Predicted in .*|Total Detection Time.*"
        lines = [re.sub(timed, "", line) for line in text.splitlines()]
        numbers.append([float(one) for line in lines for one in re.findall(r"\d+\.?\d*", line)])
    here, there = map(np.array, numbers)
    assert len(here) > 20
    assert sum(sizes) == 9
    np.testing.assert_allclose(np.sort(there), np.sort(here), atol=0.011)


def test_finds_boxes_on_another_gpu_than_the_first(gpu, folder, image):
    files = (folder / "tiny.cfg", folder / "tiny.weights")
    here, there = (
        darkpy.load(*files, device=device).detect([image] * 3, 0.1)
        for device in ("cuda:0", "cuda:1")
    )
    for one, other in zip(here, there, strict=True):
        np.testing.assert_array_equal(one.xyxy, other.xyxy)


def test_memory_that_does_not_suffice_is_told_with_what_to_do(gpu, folder, image, monkeypatch):
    import cupy

    files = (folder / "tiny.cfg", folder / "tiny.weights")
    for most in (8_000, 40_000):  # no room for maps; none for the network's input
        monkeypatch.setattr(cupy, "most", most)
        with pytest.raises(OutOfMemory, match=r"(allocating [\d,]+ bytes.*)?take fewer or smaller"):
            darkpy.load(*files, device="cuda:0").detect(image, 0.1)


@pytest.mark.parametrize(
    ("status", "kind", "told"),
    [
        (2, OutOfMemory, "device 'cuda:0': cudaErrorX: take fewer or smaller pictures"),
        (3, DeviceError, "device 'cuda:0': cudaErrorX; a process that was forked"),
        (46, DeviceError, "device 'cuda:0': cudaErrorX; does another process have it"),
        (700, DeviceError, "device 'cuda:0': cudaErrorX$"),
    ],
)
def test_what_cuda_says_no_to_is_an_error_of_darkpy(
    gpu, folder, image, monkeypatch, status, kind, told
):
    import cupy

    detector = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", device="cuda:0")
    wanted = detector.detect(image, 0.1)

    def fail(self):
        raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorX", status)

    with monkeypatch.context() as patch:
        patch.setattr(cupy.cuda.Stream, "synchronize", fail)
        with pytest.raises(kind, match=told):
            detector.detect(image, 0.1)
    same(detector.detect(image, 0.1), wanted, 0)
