import numpy as np
import pytest

from darkpy.errors import CfgError, NetworkError
from darkpy.layers import Shape
from darkpy.layers.cost import Cost
from tests.layers.gradient import drawn, run


def test_puts_out_zeros_without_truths(rng):
    x = drawn((2, 5, 1, 1), rng, np.float32)
    y = run(Cost(), x)[1]
    assert y.shape == x.shape and y.dtype == np.float32 and not y.any()
    assert Cost().shape(Shape(5, 1, 1)) == Shape(5, 1, 1)
    assert Cost.is_head and Cost.is_vector


def test_keys(build):
    assert build("cost") == Cost(type="sse", scale=1.0, ratio=0.0)
    keys = "type=smooth scale=2 ratio=.5"
    assert build("cost", keys) == Cost(type="smooth", scale=2.0, ratio=0.5)
    with pytest.raises(CfgError, match=r"one\.cfg:2: .*did you mean 'masked'"):
        build("cost", "type=maskd")


def test_cannot_be_trained_yet(rng):
    ctx, y = run(Cost(), drawn((1, 2, 1, 1), rng))
    with pytest.raises(NetworkError, match=r"\[cost\] cannot be trained"):
        Cost().backward(ctx, y)
