from pathlib import Path

import numpy as np
import pytest

from darkpy.errors import CfgError, NetworkError
from darkpy.layers import Shape
from darkpy.layers.region import Region
from darkpy.tree import ClassMap
from tests.layers.gradient import drawn, gapped, run

ZOO = str(Path(__file__).with_name("zoo.tree"))  # two roots, the first with three children


def shares(x):
    e = np.exp(x)
    return e / e.sum()


@pytest.mark.parametrize("kind", ["raw", "softmax", "tree"])
def test_values_lie_pixel_by_pixel_and_are_activated(kind, rng):
    layer = Region(
        num=2, classes=5, softmax=kind == "softmax", tree=ZOO if kind == "tree" else None
    )
    x = drawn((2, 20, 3, 4), rng)
    before = x.copy()
    y = run(layer, gapped(x))[1]
    assert y.shape == x.shape == (2, *layer.shape(Shape(20, 3, 4)))
    for image in range(2):
        flat = y[image].reshape(-1)
        for row in range(3):
            for column in range(4):
                for k in range(2):
                    at = ((row * 4 + column) * 2 + k) * 10
                    want = x[image, 10 * k : 10 * k + 10, row, column].copy()
                    want[4] = 1 / (1 + np.exp(-want[4]))
                    if kind == "softmax":
                        want[5:] = shares(want[5:])
                    elif kind == "tree":
                        want[5:7], want[7:] = shares(want[5:7]), shares(want[7:])
                    np.testing.assert_allclose(flat[at : at + 10], want, rtol=1e-12)
    np.testing.assert_array_equal(x, before)


def test_anchors_are_pairs_and_missing_ones_are_a_half(build):
    assert Region(num=2).priors == ((0.5, 0.5), (0.5, 0.5))
    assert Region(num=2, anchors=(1.0, 2.0, 3.0, 4.0)).priors == ((1, 2), (3, 4))
    assert Region(num=2, anchors=(1.0, 2.0, 3.0)).priors == ((1, 2), (3, 0.5))
    assert Region(num=1, anchors=(1.0, 2.0, 3.0, 4.0)).priors == ((1, 2),)
    with pytest.raises(CfgError, match=r"3 numbers; num=2 needs 4; 0\.5 stands for"):
        build("region", "num=2 anchors=1,2,3")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Region(num=5, classes=80), r"5 anchors \* \(classes=80 \+ 5\); got 30; set filters=425"),
        (Region(num=3, classes=5, map=ClassMap((0, 5))), "map names class 5; expected 0..4"),
    ],
)
def test_refuses_what_does_not_fit(layer, message):
    with pytest.raises(NetworkError, match=message):
        layer.shape(Shape(30, 3, 3))


def test_keys(build, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "zoo.tree").write_text("animal -1\n")
    (tmp_path / "zoo.map").write_text("2\n3\n")
    keys = (
        "coords=4 classes=5 num=2 max=30 log=1 sqrt=1 softmax=1 focal_loss=1 jitter=.3 resize=1.5 "
        "rescore=1 thresh=.6 classfix=-1 absolute=1 random=1 coord_scale=2 object_scale=5 "
        "noobject_scale=.5 mask_scale=3 class_scale=4 bias_match=1"
    )
    layer = build("region", keys + " tree=data/zoo.tree map=zoo.map anchors=1,2,3.5,4")
    for pair in keys.split():
        name, _, text = pair.partition("=")
        assert getattr(layer, name) == float(text)
    assert layer.tree == str(tmp_path / "data" / "zoo.tree")
    assert layer.map == (2, 3) and layer.anchors == (1, 2, 3.5, 4)
    with pytest.raises(CfgError, match="coords = 5: expected at most 4"):
        build("region", "coords=5")


def test_a_tree_is_read_when_it_is_needed(build, tmp_path, rng):
    x = drawn((1, 7, 1, 1), rng)
    layer = build("region", "classes=2 tree=zoo.tree anchors=1,2")
    with pytest.raises(CfgError, match=r"zoo\.tree: cannot be read"):
        run(layer, x)
    (tmp_path / "zoo.tree").write_text("animal -1\n")
    with pytest.raises(NetworkError, match="expected a tree of 2 classes; got one of 1"):
        run(layer, x)
