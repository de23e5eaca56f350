import logging

import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.layers import Shape
from darkpy.layers.crop import Crop
from tests.layers.gradient import check_layer, drawn, run


def test_inference_takes_the_middle(rng):
    x = drawn((2, 3, 7, 9), rng)
    y = run(Crop(crop_height=4, crop_width=6, flip=True), x)[1]
    np.testing.assert_array_equal(y, 2 * x[:, :, 1:5, 1:7] - 1)
    y = run(Crop(crop_height=4, crop_width=6, noadjust=True), x)[1]
    np.testing.assert_array_equal(y, x[:, :, 1:5, 1:7])


@pytest.mark.parametrize("flip", [False, True])
def test_training_takes_each_picture_from_a_place_of_its_own(flip, rng):
    x = drawn((40, 1, 5, 6), rng)
    layer = Crop(crop_height=3, crop_width=4, flip=flip, noadjust=True)
    y = run(layer, x, train=True)[1]
    found = set()
    for image, out in zip(x[:, 0], y[:, 0], strict=True):
        for top in range(3):
            for left in range(3):
                part = image[top : top + 3, left : left + 4]
                for mirrored, candidate in enumerate((part, part[:, ::-1])):
                    if (candidate == out).all():
                        found.add((top, left, mirrored))
    assert {(top, left) for top, left, _ in found} == {(i, j) for i in range(3) for j in range(3)}
    assert {mirrored for *_, mirrored in found} == ({0, 1} if flip else {0})


def test_gradient():
    check_layer(Crop(crop_height=3, crop_width=2, flip=True), (2, 4, 5), batch=4)
    check_layer(Crop(crop_height=4, crop_width=5, noadjust=True), (2, 4, 5))


def test_refuses_more_than_there_is():
    with pytest.raises(NetworkError, match="crop_height=5, crop_width=1: expected at most the 4"):
        Crop(crop_height=5).shape(Shape(3, 4, 4))


def test_training_says_what_it_leaves_out(caplog):
    layer, x = Crop(shift=0.2), np.zeros((1, 3, 2, 2))
    with caplog.at_level(logging.WARNING):
        run(layer, x)
        assert not caplog.records
        run(layer, x, train=True)
        run(layer, x, train=True)
    assert [record.getMessage() for record in caplog.records] == [
        "[crop] angle, saturation, exposure and shift have no effect in training"
    ]
