"""Weight gradients over blocked maps agree with the reference in double precision."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import gradient
from tests.kernels.engine import maps
from tests.kernels.engine.spills import TARGETS, assembly, spills

REFERENCE = ops("reference")

# n, c, f, (h, w), size, stride, padding, dilation, groups
SHAPES = [
    (2, 20, 37, (9, 11), 3, (1, 1), 1, 1, 1),
    (1, 16, 16, (7, 5), 1, (1, 1), 0, 1, 1),
    (3, 100, 33, (6, 5), 1, (1, 1), 0, 1, 1),
    (1, 70, 20, (5, 8), 3, (2, 2), 1, 1, 1),
    (2, 17, 18, (9, 9), 5, (2, 1), 2, 1, 1),
    (1, 33, 16, (9, 12), 3, (1, 1), 2, 2, 1),
    (2, 64, 64, (5, 5), 3, (1, 1), 1, 1, 2),
    (1, 24, 40, (6, 6), 3, (1, 1), 1, 1, 4),
    (1, 5, 5, (6, 6), 3, (1, 1), 1, 1, 5),
    (1, 32, 16, (30, 30), 2, (1, 1), 0, 1, 1),
]
PLANAR = [
    (2, 3, 20, (13, 10), 3, (1, 1), 1, 1, 1),
    (1, 3, 16, (16, 12), 3, (2, 2), 1, 1, 1),
    (1, 1, 33, (9, 9), 5, (1, 1), 2, 1, 1),
    (3, 4, 16, (9, 9), 7, (2, 2), 3, 1, 1),
    (1, 3, 9, (9, 11), 3, (1, 1), 2, 2, 3),
]


def operands(shape, make):
    """Return dy, x and dw for a shape, and the held maps of the first two, in wider buffers."""
    n, c, f, (h, w), size, stride, padding, dilation, _ = shape
    rng = np.random.default_rng(0)
    reach = dilation * (size - 1) + 1
    rows, cols = (
        (h + 2 * padding - reach) // stride[0] + 1,
        (w + 2 * padding - reach) // stride[1] + 1,
    )
    x = rng.standard_normal((n, c, h, w)).astype(np.float32)
    dy = rng.standard_normal((n, f, rows, cols)).astype(np.float32)
    border = (padding, padding, padding + 1, padding)
    held = (
        make(n, c + 16, h, w, border).range(16, c)
        if make is maps.blocked
        else make(n, c, h, w, border)
    )
    spare = maps.blocked(n, f, rows, cols, 1, fill=3)
    return dy, x, spare.put(dy), held.put(x)


def compare(shape, rows_of, make, tolerance=4e-6):
    *_, size, stride, padding, dilation, groups = shape
    dy, x, held_dy, held_x = operands(shape, make)
    truth = REFERENCE.conv2d_weight_grad(
        dy.astype(float),
        x.astype(float),
        size=size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    guard = np.full(truth.size + 32, maps.MARK, np.float32)
    rows = rows_of(held_dy.map, held_x.map, guard[16:].ctypes.data)
    maps.execute(rows)
    got = guard[16:-16].reshape(truth.shape)
    # the default: sums of up to a few hundred float32 products, of one rounding each
    np.testing.assert_allclose(got, truth, rtol=0, atol=tolerance * np.abs(truth).max())
    assert (guard[:16] == maps.MARK).all() and (guard[-16:] == maps.MARK).all()
    maps.execute(rows, threads=1)
    np.testing.assert_array_equal(got, guard[16:-16].reshape(truth.shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_weight_grad(shape):
    *_, size, stride, padding, dilation, groups = shape
    geometry = {"size": size, "stride": stride, "padding": padding}
    compare(
        shape,
        lambda dy, x, dw: gradient.weight_grad(
            dy, x, dw, **geometry, dilation=dilation, groups=groups
        ),
        maps.blocked,
    )


@pytest.mark.parametrize("shape", PLANAR, ids=str)
def test_weight_grad_of_a_planar_map(shape):
    *_, size, stride, padding, dilation, groups = shape
    geometry = {"size": size, "stride": stride, "padding": padding}
    compare(
        shape,
        lambda dy, x, dw: gradient.weight_grad(
            dy, x, dw, **geometry, dilation=dilation, groups=groups
        ),
        maps.planar,
    )


WINOGRAD = [
    (2, 20, 37, (9, 11), 3, (1, 1), 1, 1, 1),
    (3, 70, 16, (5, 8), 3, (1, 1), 1, 1, 1),
    (1, 16, 40, (1, 1), 3, (1, 1), 1, 1, 1),
    (1, 3, 16, (40, 13), 3, (1, 1), 1, 1, 1),
]


@pytest.mark.parametrize("shape", WINOGRAD, ids=str)
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("m", gradient.TILES)
def test_weight_grad_by_winograd(shape, m, fused):
    way = gradient.Way(m, fused)
    compare(
        shape,
        lambda dy, x, dw: gradient.weight_grad(
            dy, x, dw, size=3, stride=(1, 1), padding=1, way=way
        ),
        maps.blocked,
        2e-5,  # transforms multiply and divide by numbers up to 20; 5e-6 and less was found
    )


def test_ways():
    """Other geometries than 3 x 3 at stride 1 take sums as they are, large maps products."""
    dy, x = maps.blocked(8, 64, 52, 52).map, maps.blocked(8, 64, 52, 52, 1).map
    assert gradient.candidates(dy, x, 3, (2, 2), 1, 1, 1) == [gradient.DIRECT]
    drivers = [
        row.driver for row in gradient.weight_grad(dy, x, 0, size=3, stride=(1, 1), padding=1)
    ]
    assert drivers[0] == "gradient.winograd"


def test_weight_grad_in_long_rows():
    """Rows of a 1 x 1 convolution that no border divides are taken together."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 40, 12, 30)).astype(np.float32)
    dy = rng.standard_normal((2, 20, 12, 30)).astype(np.float32)
    held_x, held_dy = maps.blocked(*x.shape).put(x), maps.blocked(*dy.shape).put(dy)
    assert gradient.in_long_rows(held_dy.map, held_x.map)[0].w == 180
    dw = np.empty((20, 40, 1, 1), np.float32)
    maps.execute(
        gradient.weight_grad(
            held_dy.map, held_x.map, dw.ctypes.data, size=1, stride=(1, 1), padding=0
        )
    )
    truth = REFERENCE.conv2d_weight_grad(dy.astype(float), x.astype(float), size=1)
    np.testing.assert_allclose(dw, truth, rtol=0, atol=4e-6 * np.abs(truth).max())


TILES_OF = {32: [(1, 16), (1, 8), (2, 8), (3, 8)], 8: [(1, 4)], 4: [(1, 2)], "arm64": [(1, 4)]}
LINES_OF = {32: (3, 3), 8: (1, 1), "arm64": (1, 1)}  # a row of 3 taps is too long for SSE


@pytest.mark.parametrize("registers", TILES_OF)
def test_accumulators_stay_in_registers(registers):
    shape = {"v_cell": 64, "s_cell": 64, "s_tap": 4}
    for vectors, taps in TILES_OF[registers]:
        numbers = {"vectors": vectors, "outer": 1, "inner": 1, "taps": taps}
        assert not spills(assembly("gradient", "products", TARGETS[registers], **numbers, **shape))
    if registers not in LINES_OF:
        return
    outer, inner = LINES_OF[registers]
    numbers = {"vectors": 1, "outer": outer, "inner": inner, "taps": 3, **shape, "s_cell": 4}
    assert not spills(assembly("gradient", "products", TARGETS[registers], **numbers))
