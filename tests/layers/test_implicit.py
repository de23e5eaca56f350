import numpy as np

from darkpy.layers import Shape
from darkpy.layers.implicit import Implicit
from tests.layers.gradient import check_layer, drawn, run


def test_every_picture_gets_the_same_map(rng):
    layer = Implicit(filters=5, atoms=3)
    assert layer.inputs(7) == (-1,)
    assert layer.params(Shape(3, 8, 8)) == {"weights": (5, 3, 1)}
    w = drawn((5, 3, 1), rng)
    y = run(layer, drawn((4, 3, 8, 8), rng), params={"weights": w})[1]
    assert y.shape == (4, 5, 3, 1)
    for image in y:
        np.testing.assert_array_equal(image, w)
    check_layer(layer, (2, 2, 2), batch=3)


def test_begins_between_mean_minus_std_and_mean_plus_std(rng):
    w = Implicit(mean=3.0, std=0.5).initial("weights", (128, 4, 1), rng)
    assert 2.5 <= w.min() < 2.51 and 3.49 < w.max() <= 3.5
