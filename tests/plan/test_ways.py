"""Convolutions by themselves: every way of each gives what float64 gives."""

import numpy as np
import pytest

from darkpy.network import Network
from darkpy.plan import convolve, ways
from tests.conftest import ROOT

EXACT = 2e-6  # direct sums, and Winograd's with tiles of 2 cells: of the largest value
CLOSE = 4e-5  # and with larger tiles


@pytest.fixture(scope="module")
def program():
    network = Network.from_cfg(ROOT / "cfg" / "yolov4-tiny.cfg").resized(64, 64)
    return ways.separate(network, network.initial_params(np.random.default_rng(0)), 1, 2)


def layer(program, size, stride, pool=False):
    return next(
        one
        for one in ways.layers(program)
        if (one.geometry.size, one.geometry.stride[0], one.geometry.pool) == (size, stride, pool)
    )


def test_layers_of_one_geometry_are_one(program):
    found = ways.layers(program)
    convolutions = [op for op in program.ops if op.kind == "convolve"]
    assert sum(len(one.ops) for one in found) == len(convolutions) > len(found)
    assert str(found[0]) == "3 -> 32 @32x32 k3 s2"


@pytest.mark.parametrize(("size", "stride"), [(3, 1), (3, 2), (1, 1)])
def test_every_way_gives_what_float64_gives(program, size, stride):
    one = layer(program, size, stride)
    found = ways.of_each_kind(one.geometry, 2)
    bound = ways.bind(program, one.ops[0], found, 2)
    for way, error in zip(found, ways.errors(one.ops[0], bound), strict=True):
        exact = way.name == "direct" or dict(way.options).get("m") == 2
        assert error < (EXACT if exact else CLOSE), way


def test_a_map_that_is_added_is_an_input_too():
    network = Network.from_cfg(ROOT / "cfg" / "yolo-fastest-1.1.cfg").resized(64, 64)
    program = ways.separate(network, network.initial_params(np.random.default_rng(0)), 1, 2)
    op = next(op for op in program.ops if op.kind == "convolve" and len(op.inputs) == 2)
    bound = ways.bind(program, op, [convolve.estimate(convolve.geometry(op), 1)], 1)
    assert ways.errors(op, bound)[0] < CLOSE


def test_what_is_worth_measuring_begins_with_the_estimate(program):
    g = layer(program, 3, 1).geometry
    found = ways.worth(g, 2)
    assert found[0] == convolve.estimate(g, 2)
    assert len(set(found)) == len(found) and set(found) <= set(convolve.candidates(g, 2))
    assert {dict(one.options).get("m") for one in found} == {None, 2, 3, 4, 5, 6}
    assert {dict(one.options).get("m") for one in ways.worth(g, 2, strict=True)} == {None, 2}
    assert len(ways.worth(layer(program, 1, 1).geometry, 2)) == 1


def test_figures_of_each_way(program):
    one = layer(program, 3, 1)
    found = ways.of_each_kind(one.geometry, 1)
    rows = list(ways.rows(program, one, found, 1, 2, wants_errors=True))
    assert [row["way"] for row in rows] == [str(way) for way in found]
    for row in rows:
        assert row["ms"] > 0 and row["error"] < CLOSE
        assert row["gflops"] == pytest.approx(1e-6 * one.geometry.flops / row["ms"])
