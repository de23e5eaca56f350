import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.layers import Shape
from darkpy.layers.detection import Detection
from tests.layers.gradient import drawn, run

SMALL = {"side": 2, "classes": 3, "num": 2, "coords": 4}  # 2 * 2 * (5 * 2 + 3) = 52 values


def test_puts_out_what_it_gets(rng):
    x = drawn((2, 52, 1, 1), rng, np.float32)
    np.testing.assert_array_equal(run(Detection(**SMALL), x)[1], x)


def test_softmax_is_over_the_classes_of_each_cell(rng):
    x = drawn((2, 52, 1, 1), rng)
    before = x.copy()
    y = run(Detection(**SMALL, softmax=True), x)[1].reshape(2, 52)
    for image in range(2):
        for cell in range(4):
            e = np.exp(x[image, 3 * cell : 3 * cell + 3, 0, 0])
            got = y[image, 3 * cell : 3 * cell + 3]
            np.testing.assert_allclose(got, e / e.sum(), rtol=1e-12)
    np.testing.assert_array_equal(y[:, 12:], x[:, 12:, 0, 0])
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("shape", [(52, 1, 1), (13, 2, 2)])
def test_takes_any_shape_of_the_right_size(shape):
    assert Detection(**SMALL).shape(Shape(*shape)) == Shape(*shape)


def test_refuses_another_size_with_both_numbers():
    with pytest.raises(NetworkError, match=r"expected an input of 52 values.*got 53"):
        Detection(**SMALL).shape(Shape(53, 1, 1))


def test_keys(build):
    assert build("detection") == Detection(coords=1, classes=1, num=1, side=7, jitter=0.2)
    keys = (
        "coords=4 classes=3 num=2 side=5 rescore=1 softmax=1 sqrt=1 max=30 coord_scale=5 "
        "forced=1 object_scale=2 noobject_scale=.5 class_scale=3 jitter=.3 resize=1.5 random=1 "
        "reorg=1"
    )
    layer = build("detection", keys)
    for pair in keys.split():
        name, _, text = pair.partition("=")
        assert getattr(layer, name) == float(text)


def test_the_gradient_of_the_loss_is_by_the_input_already(rng):
    layer = Detection(**SMALL, softmax=True)
    ctx, y = run(layer, drawn((2, 52, 1, 1), rng), train=True)
    np.testing.assert_array_equal(layer.backward(ctx, y)[0], y)
