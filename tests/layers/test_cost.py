import numpy as np
import pytest

from darkpy.errors import CfgError
from darkpy.layers import Shape
from darkpy.layers.cost import Cost
from tests.layers.gradient import drawn, run


def test_puts_out_zeros_without_truths(rng):
    x = drawn((2, 5, 1, 1), rng, np.float32)
    y = run(Cost(), x)[1]
    assert y.shape == x.shape and y.dtype == np.float32 and not y.any()
    assert Cost().shape(Shape(5, 1, 1)) == Shape(5, 1, 1)
    assert Cost.is_head and Cost.is_vector


def test_puts_out_what_it_gets_in_training(rng):
    x = drawn((2, 5, 1, 1), rng)
    np.testing.assert_array_equal(run(Cost(), x, train=True)[1], x)


def test_keys(build):
    assert build("cost") == Cost(type="sse", scale=1.0, ratio=0.0)
    keys = "type=smooth scale=2 ratio=.5"
    assert build("cost", keys) == Cost(type="smooth", scale=2.0, ratio=0.5)
    with pytest.raises(CfgError, match=r"one\.cfg:2: .*did you mean 'masked'"):
        build("cost", "type=maskd")


def test_the_gradient_of_the_loss_is_by_the_input_already(rng):
    layer = Cost()
    ctx, y = run(layer, drawn((2, 5, 1, 1), rng), train=True)
    np.testing.assert_array_equal(layer.backward(ctx, y)[0], y)
