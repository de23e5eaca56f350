from pathlib import Path

import numpy as np
import pytest

from darkpy.errors import CfgError, NetworkError
from darkpy.layers import Shape
from darkpy.layers.softmax import Softmax
from tests.layers.gradient import check_layer, drawn, run

ZOO = str(Path(__file__).with_name("zoo.tree"))  # two roots, the first with three children


def shares(x, temperature=1.0):
    e = np.exp(x / temperature)
    return e / e.sum()


def test_shares_of_the_whole(rng):
    x = drawn((3, 7, 1, 1), rng)
    y = run(Softmax(), x)[1]
    for image in range(3):
        np.testing.assert_allclose(y[image, :, 0, 0], shares(x[image, :, 0, 0]), rtol=1e-12)


def test_a_map_is_one_vector(rng):
    x = drawn((2, 3, 2, 2), rng)
    y = run(Softmax(temperature=0.5), x)[1]
    np.testing.assert_allclose(y[1].reshape(-1), shares(x[1].reshape(-1), 0.5), rtol=1e-12)


def test_groups_are_equal_runs(rng):
    x = drawn((2, 6, 1, 1), rng)
    y = run(Softmax(groups=3), x)[1].reshape(2, 3, 2)
    for image in range(2):
        for group in range(3):
            want = shares(x.reshape(2, 3, 2)[image, group])
            np.testing.assert_allclose(y[image, group], want, rtol=1e-12)


def test_a_tree_has_one_softmax_for_each_group_of_siblings(rng):
    x = drawn((2, 5, 1, 1), rng)
    y = run(Softmax(tree=ZOO), x)[1]
    np.testing.assert_allclose(y[0, :2, 0, 0], shares(x[0, :2, 0, 0]), rtol=1e-12)
    np.testing.assert_allclose(y[0, 2:, 0, 0], shares(x[0, 2:, 0, 0]), rtol=1e-12)


def test_spatial_has_one_softmax_for_each_pixel(rng):
    x = drawn((2, 3, 2, 4), rng)
    y = run(Softmax(spatial=True, temperature=2.0), x)[1]
    for i in range(2):
        for j in range(4):
            np.testing.assert_allclose(y[1, :, i, j], shares(x[1, :, i, j], 2.0), rtol=1e-12)


@pytest.mark.parametrize("layer", [Softmax(), Softmax(spatial=True), Softmax(groups=2)])
def test_large_numbers_do_not_overflow(layer):
    x = np.array([1e30, -1e30, 88.8, -1e30], np.float32).reshape(1, 4, 1, 1)
    y = run(layer, x)[1]
    assert np.isfinite(y).all() and y.max() == 1


@pytest.mark.parametrize(
    "layer",
    [
        Softmax(noloss=True),
        Softmax(noloss=True, temperature=0.7),
        Softmax(noloss=True, groups=5),
        Softmax(noloss=True, tree=ZOO, temperature=2.0),
        Softmax(noloss=True, spatial=True),
    ],
)
def test_gradients_without_a_loss(layer):
    check_layer(layer, (5, 1, 1) if layer.tree else (5, 2, 3))


def test_the_gradient_of_its_loss_is_by_the_input_already(rng):
    layer = Softmax(temperature=2.0)
    ctx, y = run(layer, drawn((2, 5, 1, 1), rng), train=True)
    np.testing.assert_array_equal(layer.backward(ctx, y)[0], y)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Softmax(groups=4), "6 values do not divide into groups=4"),
    ],
)
def test_refuses_what_does_not_fit(layer, message):
    with pytest.raises(NetworkError, match=message):
        layer.shape(Shape(6, 1, 1))


def test_a_tree_of_other_classes_is_refused(rng):
    with pytest.raises(NetworkError, match="expected a tree of 6 classes; got one of 5"):
        run(Softmax(tree=ZOO), drawn((1, 6, 1, 1), rng))


def test_keys(build, tmp_path):
    (tmp_path / "zoo.tree").write_text("animal -1\n")
    assert build("soft") == Softmax()
    assert build("softmax", "groups=2 temperature=.5 spatial=1 noloss=1 tree=zoo.tree") == Softmax(
        groups=2, temperature=0.5, spatial=True, noloss=True, tree=str(tmp_path / "zoo.tree")
    )
    with pytest.raises(CfgError, match=r"one\.cfg:2: \[softmax\] temperature = 0.0: expected at"):
        build("softmax", "temperature=0")
    assert Softmax.is_head and Softmax.is_vector
