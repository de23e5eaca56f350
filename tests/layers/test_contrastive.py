import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.layers import Shape
from darkpy.layers.contrastive import Contrastive
from tests.layers.gradient import drawn, run


def test_puts_out_zeros_without_truths(rng):
    x = drawn((2, 6, 3, 2), rng, np.float32)
    y = run(Contrastive(), x)[1]
    assert y.shape == x.shape and y.dtype == np.float32 and not y.any()
    assert Contrastive().shape(Shape(6, 3, 2)) == Shape(6, 3, 2)


def test_names_an_earlier_yolo_or_none():
    assert Contrastive().inputs(9) == (8,)
    assert Contrastive(yolo_layer=-2).inputs(9) == (8,)
    with pytest.raises(NetworkError, match="refers to layer 9"):
        Contrastive(yolo_layer=9).inputs(9)


def test_keys(build):
    keys = "classes=3 yolo_layer=-2 temperature=.5 cls_normalizer=2 max_delta=5"
    assert build("contrastive", keys + " contrastive_neg_max=7") == Contrastive(
        classes=3,
        yolo_layer=-2,
        temperature=0.5,
        cls_normalizer=2.0,
        max_delta=5.0,
        contrastive_neg_max=7,
    )
    assert build("contrastive").classes == 1000


def test_cannot_be_trained_yet(rng):
    ctx, y = run(Contrastive(), drawn((1, 2, 1, 1), rng))
    with pytest.raises(NetworkError, match=r"\[contrastive\] cannot be trained"):
        Contrastive().backward(ctx, y)
