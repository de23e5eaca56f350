import numpy as np
import pytest

from darkpy.errors import NetworkError
from darkpy.layers import Shape
from darkpy.layers.route import Route
from tests.layers.gradient import check_layer, drawn, run


def test_links_are_relative_or_absolute():
    assert Route(layers=(-1, 8, -4)).inputs(10) == (9, 8, 6)


def test_one_layer_is_passed_on(rng):
    x = drawn((2, 3, 2, 2), rng)
    np.testing.assert_array_equal(run(Route(layers=(-1,)), x)[1], x)
    check_layer(Route(layers=(-1,)), (3, 2, 2))


def test_layers_stand_one_behind_the_other(rng):
    xs = [drawn((2, c, 3, 2), rng) for c in (2, 1, 4)]
    y = run(Route(layers=(-1, -2, -3)), *xs)[1]
    np.testing.assert_array_equal(y[:, :2], xs[0])
    np.testing.assert_array_equal(y[:, 2:3], xs[1])
    np.testing.assert_array_equal(y[:, 3:], xs[2])
    check_layer(Route(layers=(-1, -2, -3)), *(x.shape[1:] for x in xs))


@pytest.mark.parametrize("group", [0, 1])
def test_groups_take_a_run_of_each_layers_channels(group, rng):
    layer = Route(layers=(-1, -2), groups=2, group_id=group)
    xs = [drawn((2, c, 3, 2), rng) for c in (4, 6)]
    y = run(layer, *xs)[1]
    np.testing.assert_array_equal(y[:, :2], xs[0][:, 2 * group : 2 * group + 2])
    np.testing.assert_array_equal(y[:, 2:], xs[1][:, 3 * group : 3 * group + 3])
    check_layer(layer, (4, 3, 2), (6, 3, 2))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"layers": (-1, -2)}, "layer -2 is 4 x 2, layer -1 2 x 2; expected maps of one"),
        ({"layers": (-1,), "groups": 2}, "3 channels of layer -1 do not divide into groups=2"),
        ({"layers": (-1,), "groups": 3, "group_id": 3}, "group_id=3: expected 0..2"),
    ],
)
def test_refuses_what_does_not_fit(keys, message):
    layer = Route(**keys)
    with pytest.raises(NetworkError, match=message):
        layer.shape(*[Shape(3, 2, 2), Shape(3, 4, 2)][: len(layer.layers)])


def test_refuses_to_join_nothing():
    with pytest.raises(NetworkError, match="has no layers="):
        Route().inputs(3)


@pytest.mark.parametrize("link", [-4, 3, 7])
def test_refuses_a_layer_that_is_not_before_it(link):
    with pytest.raises(NetworkError, match=f"refers to layer {link}; expected"):
        Route(layers=(link,)).inputs(3)
