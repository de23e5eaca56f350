"""Pictures of bytes become a network's input: the very numbers of `darkpy.data.image.prepare`."""

import numpy as np
import pytest

from darkpy.boxes import letter_size
from darkpy.data.image import prepare
from darkpy.kernels import cuda, ops
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, around, device, from_map, rounded

SMALL = [case for case in CASES if case.op == "resize_picture" and not case.timed]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize(
    ("colours", "c", "type_", "letter_box"),
    [(3, 3, "float", True), (3, 3, "half", True), (3, 3, "bf16", False), (1, 3, "half", True),
     (3, 1, "float", False), (1, 1, "bf16", True)],
)  # fmt: skip
@pytest.mark.parametrize("size", [(7, 50), (61, 30)])
def test_gives_the_input_that_the_processor_gives(colours, c, type_, letter_box, size, rng):
    image = rng.integers(0, 256, (*size, colours), np.uint8)
    net_h, net_w = 24, 40
    want = rounded(prepare(image, (c, net_h, net_w), letter_box, ops("cpu")), type_)
    w, h = letter_size(size[1], size[0], net_w, net_h) if letter_box else (net_w, net_h)
    on = device()
    y = around(on, (1, c, net_h, net_w), type_)
    place = {"h": h, "w": w, "top": (net_h - h) // 2, "left": (net_w - w) // 2}
    on.run(cuda.resize_picture(on, y, image, **place))
    np.testing.assert_array_equal(from_map(y)[0], want)


def test_all_colours_are_the_grey_that_opencv_makes_of_them():
    steps = np.arange(0, 256, 3, np.uint8)
    image = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(86, -1, 3)
    y = np.empty((1, *image.shape[:2]), np.float32)
    on = device(check=False)
    on.run(cuda.resize_picture(on, y, image, h=y.shape[1], w=y.shape[2]))
    np.testing.assert_array_equal(y, prepare(image, y.shape, False, ops("cpu")))


def test_refuses_other_channels():
    on = device()
    with pytest.raises(ValueError, match="1 or 3 channels: got 4"):
        cuda.resize_picture(on, on.map((1, 3, 4, 4), "half"), np.zeros((2, 2, 4), "u1"), h=4, w=4)
