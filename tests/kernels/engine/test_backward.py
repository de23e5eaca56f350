"""Data gradients over blocked maps agree with the reference in double precision."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import backward
from darkpy.kernels.cpu.engine.direct import MOST
from tests.kernels.engine import maps
from tests.kernels.engine.spills import TARGETS, assembly, spills

REFERENCE = ops("reference")

# n, c, f, (h, w), size, stride, padding, dilation, groups
SHAPES = [
    (2, 32, 20, (12, 18), 3, (2, 2), 1, 1, 1),
    (1, 20, 33, (9, 11), 3, (2, 2), 1, 1, 1),
    (1, 48, 16, (8, 7), 1, (2, 2), 0, 1, 1),
    (2, 16, 17, (7, 9), 3, (1, 1), 1, 1, 1),
    (1, 16, 16, (13, 12), 5, (3, 2), 2, 1, 1),
    (1, 32, 16, (12, 13), 3, (2, 2), 2, 2, 1),
    (1, 16, 16, (11, 9), 2, (2, 2), 0, 1, 1),
    (1, 64, 32, (8, 8), 3, (2, 2), 1, 1, 2),
    (1, 24, 40, (6, 7), 3, (2, 1), 1, 1, 4),
    (1, 16, 16, (1, 1), 3, (2, 2), 1, 1, 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_input_grad(shape):
    n, c, f, (h, w), size, stride, padding, dilation, groups = shape
    rng = np.random.default_rng(0)
    reach = dilation * (size - 1) + 1
    rows, cols = (
        (h + 2 * padding - reach) // stride[0] + 1,
        (w + 2 * padding - reach) // stride[1] + 1,
    )
    weights = rng.standard_normal((f, c // groups, size, size)).astype(np.float32)
    dy = rng.standard_normal((n, f, rows, cols)).astype(np.float32)
    truth = REFERENCE.conv2d_input_grad(
        dy.astype(float), weights.astype(float), shape=(n, c, h, w), stride=stride,
        padding=padding, dilation=dilation, groups=groups,
    )  # fmt: skip
    geometry = {"size": size, "stride": stride, "padding": padding, "dilation": dilation}
    border = backward.border((h, w), (rows, cols), **geometry)
    given = maps.blocked(n, f, rows, cols, border).put(dy)
    wide = maps.blocked(n, c + 32, h, w, 1)
    wide._inner()[...] = 5
    held = wide.range(16, c)
    packed = backward.aligned(backward.packed_shape(weights.shape, groups, turned=True))
    maps.execute(
        backward.pack(weights.ctypes.data, packed, shape=weights.shape, groups=groups, turned=True)
        + backward.input_grad(given.map, held.map, packed, **geometry, groups=groups)
    )
    # sums of some hundreds of float32 products, of numbers about 1
    np.testing.assert_allclose(held.get(), truth, rtol=0, atol=3e-5)
    wide.check()
    others = wide.get()
    assert (others[:, :16] == 5).all() and (others[:, 16 + -(-c // 16) * 16 :] == 5).all()


@pytest.mark.parametrize("registers", [32, 8, 4, "arm64"])
def test_accumulators_stay_in_registers(registers):
    for filters, cells in MOST[8 if registers == "arm64" else registers].items():
        if filters <= 2:
            shape = {"filters": filters, "cells": cells, "apart": 2, "empty": False}
            assert not spills(assembly("backward", "phase", TARGETS[registers], **shape))
