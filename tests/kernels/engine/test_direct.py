"""Direct convolution, and the first layer's, against the reference in double precision."""

import dataclasses

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import direct, first, team
from darkpy.kernels.cpu.engine.packing import aligned
from tests.kernels.engine import maps
from tests.kernels.engine.spills import TARGETS, assembly, spills

reference = ops("reference")

# A sum of up to 1200 products of normal numbers, scaled to a variance of 1, is off by 1e-6.
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}

CASES = [  # n, c, f, height, width, and what differs from a plain 3x3
    (1, 32, 32, 13, 13, {}),
    (2, 32, 48, 9, 27, {"activation": "mish"}),  # three blocks; rows of three tiles
    (1, 16, 80, 5, 19, {}),  # groups of two blocks and of three; tiles of 10 and 9
    (1, 30, 37, 7, 16, {"residual": "after", "activation": "logistic"}),  # no whole blocks
    (1, 16, 32, 6, 29, {"residual": "before"}),
    (1, 16, 16, 8, 53, {"bias": False}),  # one block: wide tiles
    (2, 40, 32, 12, 13, {"stride": (2, 2), "border": 1}),
    (1, 32, 32, 11, 13, {"stride": (2, 1)}),
    (1, 16, 32, 9, 14, {"stride": (1, 2), "size": 5}),
    (1, 16, 32, 9, 14, {"dilation": 2, "padding": 2}),
    (1, 16, 32, 9, 14, {"dilation": 4, "padding": 4, "border": (4, 5, 6, 7)}),
    (1, 16, 32, 8, 8, {"padding": 0, "size": 2}),
    (1, 48, 64, 13, 13, {"size": 1}),
    (3, 8, 32, 10, 10, {"size": 1, "border": 1}),
    (1, 32, 96, 4, 4, {}),  # groups of four and of two
    (1, 32, 112, 1, 1, {"size": 1}),  # of six and of one
    (1, 96, 32, 3, 2, {}),
    (1, 64, 64, 7, 7, {"groups": 2}),
    (1, 32, 96, 5, 7, {"groups": 2}),  # three blocks a group: one by one
    (1, 64, 64, 5, 7, {"groups": 16}),
    (1, 40, 80, 5, 7, {"groups": 2}),  # a block of filters of two groups
    (2, 24, 40, 5, 7, {"groups": 4, "size": 1}),
    (1, 40, 40, 5, 7, {"groups": 2, "size": 5}),
    (2, 32, 32, 12, 26, {"pool": True}),
    (1, 32, 16, 6, 22, {"pool": True, "activation": "mish"}),
    (1, 16, 48, 4, 8, {"pool": True, "size": 1}),
]  # fmt: skip

FIRST = [
    (2, 3, 16, 12, 52, {"pool": True}),
    (1, 3, 32, 9, 27, {}),
    (1, 3, 32, 12, 26, {"stride": (2, 2)}),
    (1, 3, 8, 10, 20, {"stride": (2, 2), "border": (1, 2, 3, 4)}),
    (1, 1, 48, 7, 9, {"size": 7, "padding": 3}),
    (1, 15, 16, 5, 5, {"size": 1, "padding": 0, "bias": False}),
]


class Case:
    """Arrays of a convolution, its rows, and what it must give."""

    def __init__(self, n, c, f, h, w, change, planar=False, wider=False):
        p = {
            "size": 3, "stride": (1, 1), "dilation": 1, "groups": 1, "activation": "leaky",
            "bias": True, "residual": None, "pool": False, "border": None, **change,
        }  # fmt: skip
        p.setdefault("padding", p["size"] // 2)
        rng = np.random.default_rng(1)
        k, groups = p["size"], p["groups"]
        shape = (f, c // groups, k, k)
        x = rng.standard_normal((n, c, h, w), dtype=np.float32)
        weights = rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))
        self.weights = weights.astype(np.float32)
        bias = rng.standard_normal(f).astype(np.float32) * p["bias"]
        geometry = {name: p[name] for name in ("stride", "padding", "dilation")}
        wide = [one.astype(np.float64) for one in (x, self.weights, bias)]
        truth = reference.conv2d(*wide[:2], groups=groups, **geometry)
        truth = reference.bias(truth, wide[2])
        r = rng.standard_normal(truth.shape, dtype=np.float32)
        if p["residual"] == "before":
            truth = truth + r
        if p["activation"] != "linear":
            truth = reference.activate(truth, p["activation"])
        if p["residual"] == "after":
            truth = truth + r
        if p["pool"]:
            n_, f_, h_, w_ = truth.shape
            truth = truth.reshape(n_, f_, h_ // 2, 2, w_ // 2, 2).max((3, 5))
        self.truth = truth
        border = p["padding"] if p["border"] is None else p["border"]
        self.x = (maps.planar if planar else maps.blocked)(n, c, h, w, border).put(x)
        self.y, self.whole = self.output(n, f, *truth.shape[2:], wider)
        self.r = maps.blocked(n, f, *r.shape[2:], 2).put(r)
        packed_bias = aligned(self.y.map.blocks * 16)
        packed_bias[:f] = bias
        names = {**geometry, "size": k, "activation": p["activation"], "pool": p["pool"]}
        address = self.weights.ctypes.data
        if planar:
            packed = aligned(first.packed_shape(shape))
            maps.execute(first.pack(address, packed, shape=shape))
            op = first.conv2d
        else:
            packed = aligned(direct.packed_shape(shape, groups))
            maps.execute(direct.pack(address, packed, shape=shape, groups=groups))
            op = direct.conv2d
            names["groups"] = groups
            if p["residual"]:
                names["residual"] = self.r.map
                names["residual_first"] = p["residual"] == "before"
        self.rows = op(self.x.map, self.y.map, packed, packed_bias if p["bias"] else None, **names)

    def output(self, n, f, h, w, wider):
        """Return the map of the result, if ``wider`` a range of channels, and all of it."""
        if not wider:
            y = maps.blocked(n, f, h, w, 1)
            return y, y
        whole = maps.blocked(n, f + 64, h, w, 1)
        return whole.range(32, f), whole


def judge(case):
    maps.execute(case.rows)
    np.testing.assert_allclose(case.y.get(), case.truth, **TOLERANCE)
    case.whole.check()
    case.x.check()


@pytest.mark.parametrize("n, c, f, h, w, change", CASES)
def test_agrees_with_the_reference(n, c, f, h, w, change):
    judge(Case(n, c, f, h, w, change))


@pytest.mark.parametrize("n, c, f, h, w, change", FIRST)
def test_first_layer_agrees_with_the_reference(n, c, f, h, w, change):
    judge(Case(n, c, f, h, w, change, planar=True))


@pytest.mark.parametrize("n, c, f, h, w, change", [CASES[1], CASES[22]])
def test_writes_a_range_of_a_wider_map(n, c, f, h, w, change):
    case = Case(n, c, f, h, w, change, wider=True)
    judge(case)
    blocks = case.whole.array.shape[1]
    beside = [i for i in range(blocks) if not 2 <= i < 2 + case.y.map.blocks]
    assert not case.whole.array[:, beside].any()


def test_channels_beyond_c_do_not_matter():
    case = Case(1, 30, 37, 7, 16, {})
    case.x._inner()[:, -1, ..., 14:] = 1e30
    judge(case)


@pytest.mark.parametrize("bands, shares", [(1, 1), (5, 1), (1, 3), (4, 2)])
def test_bytes_do_not_depend_on_the_division(bands, shares, monkeypatch):
    case = Case(2, 32, 80, 11, 27, {})
    maps.execute(case.rows, threads=1)
    alone = case.y.array.copy()
    for order in ((1, shares), (bands, 1)):
        monkeypatch.setattr(direct, "division", lambda *_, o=order: (bands, shares, o))
        other = Case(2, 32, 80, 11, 27, {})
        maps.execute(other.rows, threads=2)
        np.testing.assert_array_equal(other.y.array, alone)


def test_a_border_that_is_too_small_is_refused():
    with pytest.raises(AssertionError, match="border"):
        Case(1, 16, 16, 5, 5, {"border": 0})
    with pytest.raises(AssertionError, match="border"):
        Case(1, 16, 16, 5, 5, {"border": (1, 1, 0, 1)})
    judge(Case(1, 16, 16, 6, 6, {"stride": (2, 2), "border": (1, 1, 0, 0)}))


def test_large_maps_are_divided_into_bands():
    case = Case(1, 32, 32, 3, 13, {})
    x = dataclasses.replace(case.x.map, h=416, w=416)
    y = dataclasses.replace(case.y.map, h=416, w=416)
    bands, shares, order = direct.division(x, y, 1, 2, 10**9)
    assert bands >= 20 and order == (1, shares)
    bands, shares, order = direct.division(case.x.map, case.y.map, 1, 2, 10**4)
    assert (bands, shares) == (1, 1)


def test_a_team_of_any_size_does_it():
    case = Case(1, 32, 64, 13, 13, {})
    for threads in (1, 2, 3):
        case.y.array[...] = 0
        team.team(threads).run(maps.bind(case.rows, threads))
        np.testing.assert_allclose(case.y.get(), case.truth, **TOLERANCE)


@pytest.mark.parametrize("registers", [32, 8, 4, "arm64"])
def test_accumulators_stay_in_registers(registers):
    target = TARGETS[registers]
    count = target.registers
    for filters, most in direct.MOST[count].items():
        text = assembly(
            "correlate", "tiles", target, filters=filters, cells=most, cell=64, stride=1,
            activation="leaky", pool="none", unroll=1 if count >= 32 else 2,
            residual="none" if registers == "arm64" else "after",
        )  # fmt: skip
        assert not spills(text), (filters, most)


@pytest.mark.parametrize("registers", [32, 8, "arm64"])
@pytest.mark.parametrize("size", [3, 5])
def test_accumulators_of_a_first_layer_stay_in_registers(registers, size):
    target = TARGETS[registers]
    for filters, most in direct.MOST[target.registers].items():
        text = assembly(
            "correlate", "tiles", target, filters=filters, cells=most - (registers == 32), cell=4,
            stride=2, activation="leaky", residual="none", pool="none", unroll=1, taps=size, tap=4,
        )  # fmt: skip
        assert not spills(text), (filters, most)


@pytest.mark.parametrize("registers", [32, 8, "arm64"])
@pytest.mark.parametrize("cell, stride", [(64, 2), (4, 1)])
def test_pooled_accumulators_stay_in_registers(registers, cell, stride):
    target = TARGETS[registers]
    for filters, most in list(direct.MOST[target.registers].items())[:3]:
        text = assembly(
            "correlate", "tiles", target, filters=filters, cells=max(1, most // 4) * 2, cell=cell,
            stride=stride, activation="leaky", residual="none", pool="first", unroll=1,
            taps=0 if cell == 64 else 3, tap=4,
        )  # fmt: skip
        assert not spills(text), (filters, most)


def test_spills_are_found():
    text = assembly(
        "correlate", "tiles", TARGETS[8], filters=1, cells=9, cell=64, stride=1,
        activation="linear", residual="none", pool="none", unroll=2,
    )  # fmt: skip
    assert spills(text)
