"""Learning rates and input sizes against the formulas of darknet, by hand."""

import math

import pytest

from darkpy.layers import Shape
from darkpy.layers.convolutional import Convolutional
from darkpy.layers.yolo import Yolo
from darkpy.net import NetOptions
from darkpy.network import Network
from darkpy.train.schedule import batch_size, input_size, learning_rate


def rate(b, **keys):
    return learning_rate(NetOptions(learning_rate=0.01, **keys), b, seed=3)


def test_burn_in_rises_with_the_fourth_power():
    assert rate(1, burn_in=1000) == pytest.approx(0.01 * 1e-12)
    assert rate(500, burn_in=1000) == pytest.approx(0.01 / 16)
    assert rate(500, burn_in=1000, power=2) == pytest.approx(0.01 / 4)
    assert rate(1000, burn_in=1000) == 0.01


def test_burn_in_comes_before_any_policy():
    assert rate(5, burn_in=10, policy="exp", gamma=0.5) == pytest.approx(0.01 / 16)


@pytest.mark.parametrize(
    ("b", "expected"), [(99, 0.01), (100, 0.001), (199, 0.001), (200, 0.0005), (900, 0.0005)]
)
def test_steps_multiply_from_their_iteration_on(b, expected):
    assert rate(b, policy="steps", steps=(100, 200), scales=(0.1, 0.5)) == pytest.approx(expected)


def test_steps_stop_at_the_first_that_lies_ahead():
    keys = {"policy": "steps", "steps": (-1, 100, 50), "scales": (0.1, 10.0, 0.5)}
    assert rate(60, **keys) == pytest.approx(0.001)  # 50 is behind 100
    assert rate(100, **keys) == pytest.approx(0.005)


def test_the_other_policies():
    assert rate(25, policy="step", step=10, scale=0.5) == pytest.approx(0.0025)
    assert rate(3, policy="exp", gamma=0.9) == pytest.approx(0.01 * 0.9**3)
    assert rate(25, policy="poly", max_batches=100) == pytest.approx(0.01 * 0.75**4)
    assert rate(100, policy="poly", max_batches=100) == 0
    assert rate(7, policy="sigmoid", gamma=0.5, step=5) == pytest.approx(0.01 / (1 + math.e))
    assert rate(1 << 30, policy="sigmoid", gamma=0.5, step=5) == pytest.approx(0, abs=1e-300)
    assert rate(7, policy="constant") == 0.01


def test_random_is_drawn_anew_and_the_same_for_a_seed():
    drawn = [rate(b, policy="random", power=1) for b in range(200)]
    assert drawn == [rate(b, policy="random", power=1) for b in range(200)]
    assert len(set(drawn)) == 200 and max(drawn) <= 0.01
    assert sum(drawn) / 200 == pytest.approx(0.005, abs=0.0005)


def test_sgdr_restarts_and_its_cycles_grow():
    keys = {"policy": "sgdr", "sgdr_cycle": 100, "sgdr_mult": 2, "learning_rate_min": 0.001}
    assert rate(50, **keys) == pytest.approx(0.0055)
    assert rate(100, **keys) == pytest.approx(0.001)
    assert rate(101, **keys) == pytest.approx(0.01, rel=1e-3)  # the second cycle: 100..300
    assert rate(200, **keys) == pytest.approx(0.0055)
    assert rate(301, **keys) == pytest.approx(0.01, rel=1e-3)


def network(**keys):
    random = keys.pop("random", 1.0)
    options = NetOptions(width=416, height=320, channels=3, max_batches=1000, **keys)
    layers = [
        Convolutional(filters=18, size=1),
        Yolo(classes=1, num=3, anchors=(1, 1, 2, 2, 3, 3), random=random),
    ]
    return Network.from_layers(layers, Shape(3, 320, 416), options)


def test_the_size_stays_without_random():
    assert {input_size(network(random=0.0), done, 0) for done in range(50)} == {(320, 416)}


def test_the_size_is_the_largest_at_the_beginning_and_at_the_end():
    largest = (480, 608)  # 1.4 * 320 / 32 + 1 = 15, 1.4 * 416 / 32 + 1 = 19.2
    assert {input_size(network(), done, 0) for done in range(10)} == {largest}
    assert {input_size(network(), done, 0) for done in (901, 950, 999)} == {largest}
    assert {input_size(network(), done, 0, first=700) for done in range(700, 710)} == {largest}


def test_sizes_are_drawn_every_ten_iterations_as_darknet_draws_them():
    sizes = [input_size(network(), done, seed=1) for done in range(10, 900)]
    for k in range(0, len(sizes), 10):
        assert len(set(sizes[k : k + 10])) == 1
    heights, widths = zip(*sizes, strict=True)
    assert all(side % 32 == 0 for side in (*heights, *widths))
    assert min(heights) == 256 and max(heights) == 480  # 320 / 1.4 / 32 + 1 rounds to 8
    smaller = sum(h <= 320 for h in heights) / len(heights)
    assert 0.35 < smaller < 0.75


def test_another_coefficient_and_step():
    sizes = {
        input_size(network(random=1.2, resize_step=16), done, 0) for done in range(10, 900, 10)
    }
    assert max(sizes)[0] <= 400 and len({h for h, _ in sizes}) > 5


def test_a_smaller_input_takes_more_pictures():
    net = network(batch=8, subdivisions=2, dynamic_minibatch=True)
    assert batch_size(net, (480, 608)) == 8
    assert batch_size(net, (256, 320)) == 2 * int(4 * 480 * 608 // (256 * 320) * 0.8)
    assert batch_size(network(batch=8, subdivisions=2), (256, 320)) == 8
