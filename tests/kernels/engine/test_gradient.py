"""Weight gradients over blocked maps agree with the reference in double precision."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import gradient

from . import maps

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


def compare(shape, rows_of, make):
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
    # each sum of up to a few hundred float32 products, by one rounding a product
    np.testing.assert_allclose(got, truth, rtol=0, atol=1e-6 * np.abs(truth).max() * 4)
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
