"""Convolutions of each channel alone, and their gradients, against the reference in float64."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.common.geometry import conv_output
from darkpy.kernels.cpu.engine import depthwise
from darkpy.kernels.cpu.engine.packing import aligned
from tests.kernels.engine.maps import blocked, execute
from tests.kernels.engine.spills import TARGETS, assembly, spills

TOLERANCE = 3e-6  # float32 sums of up to 49 products, of the largest value
reference = ops("reference")

# n, c, (h, w), size, stride, padding, dilation
SHAPES = [
    (1, 16, (12, 12), 3, 1, 1, 1),
    (2, 37, (9, 15), 3, 1, 1, 1),
    (1, 20, (7, 30), 3, 2, 1, 1),
    (3, 16, (10, 10), 5, 1, 2, 1),
    (2, 19, (11, 8), 5, 2, 2, 1),
    (1, 16, (13, 17), 7, 1, 3, 1),
    (1, 16, (14, 13), 3, 1, 2, 2),
    (1, 33, (16, 16), 3, 2, 2, 2),
    (1, 16, (8, 9), 1, 1, 0, 1),
    (1, 16, (8, 9), 1, 2, 0, 1),
    (1, 16, (9, 6), 2, 2, 0, 1),
    (1, 5, (12, 11), 3, 3, 1, 1),
    (1, 16, (6, 6), 3, 1, 0, 1),
]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def near(got, want, tolerance=TOLERANCE):
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * max(1, np.abs(want).max()))


def weights(c, size):
    w = drawn((c, 1, size, size), 1)
    packed = aligned(depthwise.packed_shape(w.shape))
    packed[...] = 7  # what was there does not matter
    execute(depthwise.pack(w.ctypes.data, packed, shape=w.shape))
    return w, packed


def biases(c):
    whole = aligned(-(-c // 16) * 16)
    whole[:c] = drawn(c, 2)
    return whole


def forward(x, w, stride, padding, dilation, c):
    x, w = x.astype(float), w.astype(float)
    return reference.conv2d(
        x, w, stride=(stride, stride), padding=padding, dilation=dilation, groups=c
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolution_agrees(shape):
    n, c, (h, w), size, stride, padding, dilation = shape
    x = blocked(n, c, h, w, border=padding).put(drawn((n, c, h, w)))
    weight, packed = weights(c, size)
    want = forward(x.get(), weight, stride, padding, dilation, c)
    y = blocked(n, c, *want.shape[2:], border=(1, 0, 2, 1))
    b = biases(c)
    geometry = {"size": size, "stride": (stride, stride), "padding": padding, "dilation": dilation}
    execute(depthwise.conv2d(x.map, y.map, packed, b, activation="leaky", **geometry))
    near(y.get(), reference.activate(want + b[:c, None, None].astype(float), "leaky"))
    execute(depthwise.conv2d(x.map, y.map, packed, None, activation="linear", **geometry))
    near(y.get(), want)
    x.check()
    y.check()


@pytest.mark.parametrize("first", [False, True])
def test_residual_is_added_after_or_before_the_activation(first):
    x = blocked(2, 40, 7, 9, border=1).put(drawn((2, 40, 7, 9)))
    wide = blocked(2, 64, 7, 9, border=1)
    y, r = wide.range(16, 40), blocked(2, 40, 7, 9).put(drawn((2, 40, 7, 9), 5))
    weight, packed = weights(40, 3)
    execute(
        depthwise.conv2d(
            x.map,
            y.map,
            packed,
            None,
            size=3,
            stride=(1, 1),
            padding=1,
            dilation=1,
            activation="mish",
            residual=r.map,
            residual_first=first,
        )
    )
    want, add = forward(x.get(), weight, 1, 1, 1, 40), r.get().astype(float)
    near(
        y.get(),
        reference.activate(want + add, "mish") if first else reference.activate(want, "mish") + add,
    )
    assert not wide.array[:, 0].any()
    wide.check()


def gradients(x, weight, dy, stride, padding, dilation):
    """Return the gradients of x and of the weights in float64, by their definition."""
    n, c, h, w = x.shape
    k = weight.shape[2]
    dx = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
    wide, dw = np.zeros_like(dx), np.zeros(weight.shape)
    wide[:, :, padding : padding + h, padding : padding + w] = x
    high, broad = ((one - 1) * stride + 1 for one in dy.shape[2:])
    for i in range(k):
        for j in range(k):
            rows = slice(i * dilation, i * dilation + high, stride)
            cols = slice(j * dilation, j * dilation + broad, stride)
            dx[:, :, rows, cols] += dy * weight[:, 0, i, j, None, None].astype(float)
            dw[:, 0, i, j] = (dy.astype(float) * wide[:, :, rows, cols]).sum((0, 2, 3))
    return dx[:, :, padding : padding + h, padding : padding + w], dw


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_agree(shape):
    n, c, (h, w), size, stride, padding, dilation = shape
    high, wide = (conv_output(one, size, stride, padding, dilation) for one in (h, w))
    geometry = {"size": size, "stride": (stride, stride), "padding": padding, "dilation": dilation}
    need = depthwise.input_grad_border((high, wide), (h, w), **geometry)
    x = blocked(n, c, h, w, border=padding).put(drawn((n, c, h, w)))
    dy = blocked(n, c, high, wide, border=need).put(drawn((n, c, high, wide), 3))
    dx = blocked(n, c, h, w, border=1, fill=9)
    weight, packed = weights(c, size)
    dw = np.full(weight.size + 32, -7, np.float32)
    execute(depthwise.input_grad(dy.map, dx.map, packed, **geometry))
    execute(depthwise.weight_grad(dy.map, x.map, dw[16:].ctypes.data, **geometry))
    want = gradients(x.get(), weight, dy.get(), stride, padding, dilation)
    near(dx.get(), want[0])
    near(dw[16:-16].reshape(weight.shape), want[1])
    assert (dw[:16] == -7).all() and (dw[-16:] == -7).all()
    dx.check()


def test_weight_gradient_is_the_same_for_any_number_of_threads():
    x = blocked(3, 32, 40, 40, border=1).put(drawn((3, 32, 40, 40)))
    dy = blocked(3, 32, 40, 40).put(drawn((3, 32, 40, 40), 1))
    found = []
    for threads in (1, 2, 3):
        dw = np.zeros((32, 1, 3, 3), np.float32)
        rows = depthwise.weight_grad(
            dy.map, x.map, dw.ctypes.data, size=3, stride=(1, 1), padding=1, dilation=1
        )
        execute(rows, threads)
        found.append(dw.tobytes())
    assert len(set(found)) == 1


def test_turned_weights_make_the_data_gradient():
    x = blocked(1, 16, 9, 9)
    dy = blocked(1, 16, 9, 9, border=1).put(drawn((1, 16, 9, 9), 3))
    w = drawn((16, 1, 3, 3), 1)
    packed = aligned(depthwise.packed_shape(w.shape))
    geometry = {"size": 3, "stride": (1, 1), "padding": 1, "dilation": 1}
    execute(depthwise.pack(w.ctypes.data, packed, shape=w.shape, turned=True))
    execute(depthwise.conv2d(dy.map, x.map, packed, None, activation="linear", **geometry))
    near(x.get(), gradients(np.zeros((1, 16, 9, 9)), w, dy.get(), 1, 1, 1)[0])


@pytest.mark.parametrize("size, stride", [(3, 1), (3, 2), (5, 1), (7, 2)])
@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_parked_on_the_stack(name, size, stride):
    registers = TARGETS[name].registers
    cells = depthwise.most(registers, stride)
    text = assembly(
        "depthwise", "depthwise", TARGETS[name], size=size, stride=stride, dilation=1,
        cells=cells, keep=depthwise.kept(size, cells, registers), bias=True,
        activation="leaky", residual="none",
    )  # fmt: skip
    assert spills(text) == []
