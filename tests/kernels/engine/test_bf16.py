"""Convolutions and other ops over bf16 maps, with AMX and with VDPBF16PS, against the reference.

Sums are float32: of operands that are bf16 already, a result is off by what rounding it once to 8
bits costs, 2^-9 of itself, and by the order of some thousand additions.
"""

from dataclasses import replace

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import bf16, depthwise, elementwise, target, upsample
from darkpy.kernels.cpu.engine.packing import aligned
from darkpy.kernels.cpu.engine.target import Target
from tests.kernels.engine.maps import GUARD, MARK, Held, blocked, execute, planar
from tests.kernels.engine.spills import assembly, spills

reference = ops("reference")
pytestmark = pytest.mark.skipif(bf16.available() is None, reason="no bf16 on this processor")


def to_bits(x):
    """Return float32 as bf16 bits, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype(np.uint16)


def to_float(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def rounded(x):
    return to_float(to_bits(x))


class Narrow(Held):
    """A bf16 Map with the memory it lies in; array (n, blocks, h', w', 32) uint16."""

    def put(self, x):
        n, c, h, w = x.shape
        whole = np.zeros((n, self.array.shape[1] * 32, h, w), np.float32)
        whole[:, :c] = x
        cells = whole.reshape(n, -1, 32, h, w).transpose(0, 1, 3, 4, 2)
        self._inner()[...] = to_bits(cells)
        return self

    def get(self):
        return to_float(super().get())

    def range(self, start, count):
        held = super().range(start, count)
        return Narrow(held.array, held.memory, held.map)


def narrow(n, c, h, w, border=0):
    """Return a Narrow of zeros, with guards on both sides."""
    top, left, bottom, right = (border,) * 4 if isinstance(border, int) else border
    shape = (n, -(-c // 32), h + top + bottom, w + left + right, 32)
    size = int(np.prod(shape)) // 2
    raw = np.full(size + 2 * GUARD + 16, MARK, np.float32)
    start = -(raw.ctypes.data // 4) % 16 + GUARD
    array = raw[start : start + size].view(np.uint16).reshape(shape)
    array[...] = 0
    image, plane, row = array.strides[:3]
    address = array.ctypes.data + top * row + left * 64
    map = bf16.bf16_map(address, n, c, h, w, image, plane, row, (top, left, bottom, right))
    return Narrow(array, (raw[:start], raw[start + size :]), map)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def packed(w, planar=False):
    result = aligned(bf16.packed_shape(w.shape, planar=planar), np.uint16)
    execute(bf16.pack(w.ctypes.data, result, shape=w.shape, planar=planar))
    return result


@pytest.fixture(params=["amx", "bf16"])
def files(request, engine_for):
    """Let the engine use either vector code."""
    if request.param == "amx":
        if bf16.available() != "amx":
            pytest.skip("no tiles on this processor")
    else:
        host = target.host()
        engine_for(replace(host, features=host.features.replace("+amx-tile", "-amx-tile")))
    assert bf16.available() == request.param


def convolved(x, w, b, *, stride, padding, dilation, activation):
    sums = reference.conv2d(
        x.astype(np.float64), w.astype(np.float64),
        stride=stride, padding=padding, dilation=dilation,
    )  # fmt: skip
    return reference.activate(sums + b[:, None, None], activation)


def close(got, want, most=2.0**-8):
    scale = np.abs(want).max()
    np.testing.assert_allclose(got, want, rtol=most, atol=most * scale / 16)


# n, c, f, (h, w), size, stride, padding, dilation, activation
LAYERS = [
    (1, 32, 32, (13, 13), 3, (1, 1), 1, 1, "leaky"),
    (2, 40, 70, (9, 19), 3, (1, 1), 1, 1, "mish"),
    (1, 64, 16, (8, 33), 3, (2, 2), 1, 1, "linear"),
    (1, 96, 48, (5, 7), 1, (1, 1), 0, 1, "logistic"),
    (1, 300, 33, (4, 40), 1, (1, 1), 0, 1, "swish"),
    (1, 16, 32, (11, 3), 5, (1, 2), 2, 1, "relu"),
    (1, 33, 20, (12, 10), 3, (1, 1), 2, 2, "leaky"),
    (3, 32, 32, (1, 1), 1, (1, 1), 0, 1, "linear"),
    (1, 128, 640, (13, 26), 3, (1, 1), 1, 1, "leaky"),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_convolution(layer, files):
    n, c, f, (h, w), size, stride, padding, dilation, activation = layer
    numbers = {"stride": stride, "padding": padding, "dilation": dilation, "activation": activation}
    source = rounded(drawn((n, c, h, w)))
    weights = rounded(drawn((f, c, size, size), 1) / np.sqrt(c) / size)
    biases = drawn(f, 2)
    want = convolved(source, weights, biases, **numbers)
    wide = narrow(n, c + 32, h, w, border=(padding, padding, padding, padding + 1))
    x = wide.range(32, c).put(source)
    around = narrow(n, f + 64, *want.shape[2:], border=(1, 2, 0, 1))
    y = around.range(32, f)
    bias = bf16.padded(biases, f)
    execute(bf16.conv2d(x.map, y.map, packed(weights), bias, size=size, **numbers))
    close(y.get(), want)
    assert not around.array[:, 0].any() and not around.array[:, -1].any()
    around.check()
    wide.check()


@pytest.mark.parametrize("f", [32, 45, 80])
def test_a_head_is_float32(f, files):
    source, weights = rounded(drawn((2, 64, 7, 20))), rounded(drawn((f, 64, 1, 1), 1) / 8)
    x, y = narrow(2, 64, 7, 20).put(source), blocked(2, f, 7, 20)
    numbers = {"stride": (1, 1), "padding": 0, "dilation": 1, "activation": "linear"}
    execute(bf16.conv2d(x.map, y.map, packed(weights), None, size=1, **numbers))
    want = convolved(source, weights, np.zeros(f), **numbers)
    np.testing.assert_allclose(y.get(), want, rtol=1e-5, atol=1e-5)  # nothing is rounded but sums
    y.check()


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("width", [13, 19, 32])
def test_a_residual_is_added_once_even_in_place(first, width, files):
    """Where runs of a row overlap, the cells of both are stored by one."""
    source, other = rounded(drawn((1, 64, 6, width))), rounded(drawn((1, 32, 6, width), 3))
    weights = rounded(drawn((32, 64, 3, 3), 1) / 24)
    x, y = narrow(1, 64, 6, width, border=1).put(source), narrow(1, 32, 6, width).put(other)
    numbers = {"stride": (1, 1), "padding": 1, "dilation": 1}
    rows = bf16.conv2d(
        x.map, y.map, packed(weights), None, size=3, activation="leaky", residual=y.map,
        residual_first=first, **numbers,
    )  # fmt: skip
    execute(rows)
    want = convolved(source, weights, np.zeros(32), activation="linear", **numbers)
    if first:
        want = reference.activate(want + other, "leaky")
    else:
        want = reference.activate(want, "leaky") + other
    close(y.get(), want)


@pytest.mark.parametrize("activation", ["leaky", "mish"])
@pytest.mark.parametrize(("f", "h", "w"), [(16, 6, 2), (32, 8, 26), (50, 10, 40)])
def test_pooled(activation, f, h, w, files):
    source, weights = rounded(drawn((2, 32, h, w))), rounded(drawn((f, 32, 3, 3), 1) / 17)
    x, y = narrow(2, 32, h, w, border=1).put(source), narrow(2, f, h // 2, w // 2, border=1)
    numbers = {"stride": (1, 1), "padding": 1, "dilation": 1, "activation": activation}
    biases = drawn(f, 2)
    bias = bf16.padded(biases, f)
    execute(bf16.conv2d(x.map, y.map, packed(weights), bias, size=3, pool=True, **numbers))
    want = convolved(source, weights, biases, **numbers)
    close(y.get(), want.reshape(2, f, h // 2, 2, w // 2, 2).max((3, 5)))
    y.check()


@pytest.mark.parametrize("c", [1, 3, 4])
@pytest.mark.parametrize(("size", "stride", "pool"), [(3, 1, True), (3, 2, False), (7, 2, False)])
def test_a_picture(c, size, stride, pool, files):
    f, h, w, padding = 24, 18, 20, size // 2
    source = rounded(drawn((2, c, h, w)))
    weights = rounded(drawn((f, c, size, size), 1) / size)
    numbers = {"stride": (stride, stride), "padding": padding, "dilation": 1, "activation": "leaky"}
    want = convolved(source, weights, np.zeros(f), **numbers)
    if pool:
        want = want.reshape(2, f, h // 2, 2, w // 2, 2).max((3, 5))
    x = planar(2, c, h, w, border=padding).put(source)
    y = narrow(2, f, *want.shape[2:], border=1)
    weights = packed(weights, planar=True)
    execute(bf16.conv2d(x.map, y.map, weights, None, size=size, pool=pool, **numbers))
    close(y.get(), want)
    y.check()


@pytest.mark.parametrize("shape", [{"units": 1, "cells": 14}, {"units": 2, "cells": 6}], ids=str)
@pytest.mark.parametrize("step", [64, 128, 8])
def test_sums_stay_in_registers(shape, step):
    zen4 = Target("x86_64-unknown-linux-gnu", "znver4", "", 32)
    params = {
        "activation": "leaky",
        "residual": "none",
        "pool": "none",
        "whole": False,
        "flat": False,
    }
    text = assembly("bf16", "correlate", zen4, sides=2, step=step, ahead=1, **shape, **params)
    assert "vdpbf16ps" in text
    assert not spills(text)


def test_operands_are_rounded_once():
    """Of float32 operands a result is off by some 2^-8 of the largest, over many products."""
    source, weights = drawn((1, 64, 12, 12)), drawn((32, 64, 3, 3), 1) / 24
    x, y = narrow(1, 64, 12, 12, border=1).put(source), narrow(1, 32, 12, 12)
    numbers = {"stride": (1, 1), "padding": 1, "dilation": 1, "activation": "leaky"}
    execute(bf16.conv2d(x.map, y.map, packed(weights), None, size=3, **numbers))
    want = convolved(source, weights, np.zeros(32), **numbers)
    assert np.abs(y.get() - want).max() < 3e-2 * np.abs(want).max()


def test_same_bytes_from_any_number_of_threads():
    x = narrow(1, 64, 13, 26, border=1).put(drawn((1, 64, 13, 26)))
    weights = packed(drawn((96, 64, 3, 3), 1) / 24)
    seen = set()
    for threads in (1, 2, 3):
        y = narrow(1, 96, 13, 26)
        numbers = {"stride": (1, 1), "padding": 1, "dilation": 1, "activation": "mish"}
        execute(bf16.conv2d(x.map, y.map, weights, None, size=3, **numbers), threads)
        seen.add(y.array.tobytes())
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(2, 2, 1), (2, 1, 1), (3, 2, 2), (5, 1, 4), (13, 1, 12)]
)
def test_maxpool(size, stride, padding):
    source = rounded(drawn((2, 40, 13, 9)) - 2)
    numbers = {"size": size, "stride": (stride, stride), "padding": padding}
    want = reference.maxpool(source, **numbers)
    wide = narrow(2, 128, *want.shape[2:], border=1)
    x, y = narrow(2, 40, 13, 9, border=1).put(source), wide.range(64, 40)
    execute(bf16.maxpool(x.map, y.map, **numbers))
    np.testing.assert_array_equal(y.get(), want)
    assert not wide.array[:, :2].any()
    wide.check()


@pytest.mark.parametrize(
    ("c", "size", "stride", "dilation", "activation", "residual"),
    [
        (40, 3, 1, 1, "leaky", "none"),
        (10, 3, 1, 1, "leaky", "after"),
        (40, 3, 2, 1, "linear", "before"),
        (32, 5, 1, 1, "swish", "after"),
        (40, 5, 2, 1, "relu", "none"),
        (40, 3, 1, 2, "mish", "before"),
        (16, 7, 1, 1, "leaky", "before"),
    ],
)
def test_depthwise(c, size, stride, dilation, activation, residual):
    padding = dilation * (size // 2)
    numbers = {"stride": (stride, stride), "padding": padding, "dilation": dilation}
    source, weights = rounded(drawn((2, c, 11, 13))), drawn((c, 1, size, size), 1)
    biases = drawn(c, 3)
    want = reference.conv2d(
        source.astype(np.float64), weights.astype(np.float64), groups=c, **numbers
    )
    other = rounded(drawn(want.shape, 2))
    want = want + biases[:, None, None] + (other if residual == "before" else 0)
    want = reference.activate(want, activation) + (other if residual == "after" else 0)
    x = narrow(2, c, 11, 13, border=padding).put(source)
    wide = narrow(2, 96, *want.shape[2:], border=1)
    y, r = wide.range(32, c), narrow(2, c, *want.shape[2:]).put(other)
    w = aligned(bf16.depthwise_shape(weights.shape))
    execute(depthwise.pack(weights.ctypes.data, w, shape=weights.shape))
    rows = bf16.depthwise(
        x.map, y.map, w, bf16.padded(biases, c), size=size, activation=activation,
        residual=None if residual == "none" else r.map, residual_first=residual == "before",
        **numbers,
    )  # fmt: skip
    execute(rows)
    close(y.get(), want)
    assert not wide.array[:, 0].any()
    wide.check()


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_sums_of_single_channels_stay_in_registers(size, stride):
    zen4 = Target("x86_64-unknown-linux-gnu", "znver4", "", 32)
    params = {"activation": "leaky", "residual": "none", "bias": True, "dilation": 1, "sides": 2}
    text = assembly(
        "bf16", "depthwise", zen4, size=size, stride=stride, cells=bf16.apart(size), **params
    )
    assert not spills(text)


def test_add():
    a, b = rounded(drawn((2, 40, 5, 7))), rounded(drawn((2, 40, 5, 7), 1))
    x, r = narrow(2, 40, 5, 7).put(a), narrow(2, 40, 5, 7, border=2).put(b)
    y = narrow(2, 40, 5, 7, border=1)
    execute(bf16.add(x.map, r.map, y.map, activation="leaky"))
    np.testing.assert_array_equal(y.get(), rounded(reference.activate(a + b, "leaky")))
    y.check()


def test_what_copies_cells_takes_bf16():
    source = rounded(drawn((2, 40, 5, 7)))
    x, wide = narrow(2, 40, 5, 7, border=1).put(source), narrow(2, 96, 5, 7)
    y = wide.range(32, 40)
    execute(elementwise.add(x.map, y.map))
    np.testing.assert_array_equal(y.get(), source)
    assert not wide.array[:, 0].any()
    twice = narrow(2, 40, 10, 14, border=1)
    execute(upsample.upsample(x.map, twice.map, stride=2))
    np.testing.assert_array_equal(twice.get(), source.repeat(2, 2).repeat(2, 3))
    twice.check()


@pytest.mark.parametrize("c", [16, 32, 45, 90])
def test_there_and_back(c):
    source = drawn((2, c, 5, 7))
    x, y = blocked(2, c, 5, 7, border=1).put(source), narrow(2, c, 5, 7, border=1)
    back = blocked(2, c, 5, 7)
    execute([*bf16.convert(x.map, y.map), *bf16.convert(y.map, back.map)])
    np.testing.assert_array_equal(y.get(), rounded(source))
    np.testing.assert_array_equal(back.get(), rounded(source))
    y.check()
    back.check()
