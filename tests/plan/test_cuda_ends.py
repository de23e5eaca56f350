"""Pictures and boxes on a device are those of a Detector; kernels run on the CPU here."""

from types import SimpleNamespace

import numpy as np
import pytest

from darkpy.boxes import correct
from darkpy.data.image import prepare
from darkpy.decode import DECODE, Candidates, suppress
from darkpy.kernels import launchers, ops
from darkpy.layers import Shape
from darkpy.layers.detection import Detection
from darkpy.layers.region import Region
from darkpy.layers.yolo import Yolo
from darkpy.plan.cuda.ends import DeviceBoxes, picture
from tests.hostcuda import missing
from tests.hostcuda.device import host_device

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

IMAGE = Shape(3, 64, 96)
YOLO = Yolo(classes=3, num=2, anchors=(20, 14, 16, 30), scale_x_y=1.1)
REGION = Region(classes=3, num=2, anchors=(1.1, 2.2, 3.3, 2.1))
DETECTION = Detection(classes=3, coords=4, num=2, side=5, sqrt=True)
SIZES = [(200, 30), (77, 300)]


@pytest.mark.parametrize("letter_box", [False, True])
@pytest.mark.parametrize("colours", [1, 3])
def test_a_picture_is_that_of_the_processor(letter_box, colours, rng):
    image = rng.integers(0, 256, (50, 31, colours), np.uint8)[::-1]
    on = host_device()
    y = on.zeros(3 * 64 * 96, np.float32).reshape(3, 64, 96)
    on.run(picture(on, y, image, letter_box))
    np.testing.assert_array_equal(y, prepare(image, IMAGE, letter_box, ops("cpu")))


def boxes_of(layers, outputs, on, **numbers):
    """The same from the host, in no order, and from the device."""
    nodes = [SimpleNamespace(index=i, layer=layer) for i, layer in enumerate(layers)]
    held = {i: on.upload(y) for i, y in enumerate(outputs)}
    return DeviceBoxes(on, nodes, IMAGE, held, thresh=0.2, kind="greedynms", **numbers)


@pytest.mark.parametrize(("letter_box", "relative"), [(True, True), (False, False), (True, False)])
@pytest.mark.parametrize("layer", [YOLO, REGION, DETECTION], ids=["yolo", "region", "detection"])
def test_boxes_are_those_of_the_processor(layer, letter_box, relative, rng):
    shape = (2, 25 * (3 + 10), 1, 1) if layer is DETECTION else (2, 16, 4, 6)
    output = rng.uniform(0, 0.8, shape).astype(np.float32)
    on = host_device()
    boxes = boxes_of([layer], [output], on)
    run = on.capture(on.bind(boxes.launches))
    for sizes in (SIZES[::-1], SIZES, SIZES):  # of the last batch the device knows them
        boxes.prepare(sizes, letter_box, relative)
        run()
    for own, found, size in zip(output, boxes.read(), SIZES, strict=True):
        raw = DECODE[layer.section](own, layer, IMAGE.h, IMAGE.w, 0.2)
        raw = raw.moved(correct(raw.boxes, IMAGE.w, IMAGE.h, *size, letter_box, relative))
        want = suppress(raw, ops("cpu"), 0.45, "greedynms", 0.6)
        assert len(found) == len(want) > 3
        order, other = (np.lexsort(one.boxes.round(3).T) for one in (found, want))
        for name in ("boxes", "objectness", "probs"):
            ours, theirs = getattr(found, name)[order], getattr(want, name)[other]
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * np.abs(theirs).max())


def test_what_the_heads_would_be_given_means_the_same_boxes(rng):
    raw = rng.standard_normal((2, 16, 4, 6), dtype=np.float32)
    on = host_device()
    y = np.empty_like(raw)
    on.run(launchers().yolo(on, y, _map(on, raw), classes=3, scale_x_y=1.1))
    found = []
    for output, indices in ((y, ()), (raw, (0,))):
        boxes = boxes_of([YOLO], [output], on, raw=indices)
        boxes.prepare(SIZES, letter_box=True)
        on.run(boxes.launches)
        found.append(boxes.read())
    for one, other in zip(*found, strict=True):
        assert len(one) == len(other) > 3
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.probs, other.probs)


def _map(on, x):
    y = on.map(x.shape, "float")
    y.array[...] = x.transpose(0, 2, 3, 1).reshape(-1)
    return y


def test_more_boxes_than_there_is_room_for_are_left_to_the_host(rng):
    output = rng.uniform(0, 0.8, (2, 16, 4, 6)).astype(np.float32)
    output[1, :, 1:] = 0
    on = host_device()
    boxes = boxes_of([YOLO], [output], on, most=30, nms=0)
    boxes.prepare(SIZES, letter_box=False)
    on.run(boxes.launches)
    none, few = boxes.read()
    assert none is None and isinstance(few, Candidates) and 0 < len(few) <= 30
