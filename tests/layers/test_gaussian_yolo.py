import numpy as np
import pytest

from darkpy.errors import CfgError, NetworkError
from darkpy.layers import Shape
from darkpy.layers.gaussian_yolo import GaussianYolo
from tests.layers.gradient import drawn, gapped, run


@pytest.mark.parametrize("scale_x_y", [1.0, 1.2])
def test_activates_all_but_the_means_of_width_and_height(scale_x_y, rng):
    layer = GaussianYolo(num=2, classes=3, scale_x_y=scale_x_y)
    x = drawn((2, 24, 3, 2), rng)
    before = x.copy()
    y = run(layer, gapped(x))[1]
    assert y.shape == x.shape == (2, *layer.shape(Shape(24, 3, 2)))
    for channel in range(24):
        entry = channel % 12
        want = x[:, channel]
        if entry not in (4, 6):
            want = 1 / (1 + np.exp(-want))
        if entry in (0, 2):
            want = want * scale_x_y - (scale_x_y - 1) / 2
        np.testing.assert_allclose(y[:, channel], want, rtol=1e-12, atol=1e-15)
    np.testing.assert_array_equal(x, before)


def test_needs_nine_values_beside_the_classes():
    layer = GaussianYolo(num=9, mask=(0, 1, 2), classes=10)
    assert layer.shape(Shape(57, 4, 4)) == Shape(57, 4, 4)
    with pytest.raises(NetworkError, match=r"\(classes=10 \+ 9\); got 45; set filters=57"):
        layer.shape(Shape(45, 4, 4))
    with pytest.raises(NetworkError, match="mask has 9"):
        GaussianYolo(num=9, mask=(0, 1, 9), classes=10).shape(Shape(57, 4, 4))


def test_keys(build):
    keys = "uc_normalizer=.5 scale_x_y=1.1 yolo_point=left_top nms_kind=cornersnms mask=1 num=2"
    assert build("Gaussian_yolo", keys) == GaussianYolo(
        uc_normalizer=0.5,
        scale_x_y=1.1,
        yolo_point="left_top",
        nms_kind="cornersnms",
        mask=(1,),
        num=2,
    )
    with pytest.raises(CfgError, match="unknown key 'new_coords'"):
        build("Gaussian_yolo", "new_coords=1")
    with pytest.raises(CfgError, match="did you mean 'center'"):
        build("Gaussian_yolo", "yolo_point=centre")
