"""Resized pictures, by the code of every kind of processor, against the reference."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import target

CASES = [((30, 50), (21, 37)), ((5, 7), (40, 15)), ((9, 16), (9, 16)), ((1, 4), (3, 33))]


@pytest.mark.parametrize("name", [None, *target.narrower()])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize(name, channels, engine_for, rng):
    if name:
        engine_for(target.narrower()[name])
    for old, (h, w) in CASES:
        image = rng.integers(0, 256, (*old, channels), np.uint8)
        room = np.full((channels, h + 2, w + 3), np.nan, np.float32)
        out = room[:, 1:-1, 1 : w + 1]
        assert ops("cpu").resize_picture(image, h=h, w=w, out=out) is out
        # the same roundings in the same order
        np.testing.assert_array_equal(out, ops("reference").resize_picture(image, h=h, w=w))
        assert np.isnan(room).sum() == room.size - out.size


def test_views_of_every_stride(rng):
    image = rng.integers(0, 256, (9, 11, 3), np.uint8)
    views = {
        "turned": image[::-1, ::-1, ::-1],
        "transposed": image.transpose(1, 0, 2),
        "one column upwards": np.asfortranarray(image[:, :1, :1])[::-1],
        "one pixel": np.broadcast_to(image[:1, :1], (1 << 20, 1 << 20, 3)),
    }
    for what, view in views.items():
        found, truth = (ops(name).resize_picture(view, h=20, w=21) for name in ("cpu", "reference"))
        np.testing.assert_array_equal(found, truth, what)
