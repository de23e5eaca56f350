"""Moves between layouts, and of cells to channels: exact copies."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import layout
from tests.kernels.engine.maps import blocked, execute, planar

reference = ops("reference")
SHAPES = [(1, 16, 4, 16), (2, 21, 13, 13), (1, 5, 3, 7), (2, 48, 2, 35), (1, 255, 1, 1)]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("border", [0, (1, 2, 0, 1)])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_planar_to_blocked_and_back(shape, border):
    x = planar(*shape, border=border).put(drawn(shape))
    y = blocked(*shape, border=border)
    y._inner()[...] = 9  # channels beyond c become zero
    execute(layout.to_blocked(x.map, y.map))
    np.testing.assert_array_equal(y.get(), x.get())
    tail = y._inner().transpose(0, 1, 4, 2, 3).reshape(shape[0], -1, *shape[2:])[:, shape[1] :]
    assert not tail.any()
    y.check()
    z = planar(*shape, border=border)
    execute(layout.to_planar(y.map, z.map))
    np.testing.assert_array_equal(z.get(), x.get())
    z.check()


MOVES = [
    ("space_to_depth", (2, 5, 4, 6), 2),
    ("space_to_depth", (2, 32, 6, 6), 3),
    ("depth_to_space", (2, 20, 3, 4), 2),
    ("depth_to_space", (2, 64, 3, 4), 2),
    ("reorg", (2, 8, 6, 4), 2),
    ("reorg", (1, 18, 3, 6), 3),
    ("reorg_inverse", (2, 32, 3, 4), 2),
]


PAIRS = [(blocked, blocked), (planar, blocked), (blocked, planar)]


@pytest.mark.parametrize("x_make, y_make", PAIRS)
@pytest.mark.parametrize("op, shape, stride", MOVES)
def test_moves_of_cells(op, shape, stride, x_make, y_make):
    x = x_make(*shape, border=1).put(drawn(shape))
    want = getattr(reference, op)(x.get(), stride=stride)
    y = y_make(*want.shape, border=2)
    execute(getattr(layout, op)(x.map, y.map, stride=stride))
    np.testing.assert_array_equal(y.get(), want)
    y.check()
