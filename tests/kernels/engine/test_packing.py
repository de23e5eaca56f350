"""Weights packed for direct convolution, as they are and turned, against their dense form."""

import numpy as np
import pytest

from darkpy.kernels.cpu.engine import first, packing
from tests.kernels.engine import maps

SHAPES = [  # f, c of a group, k, groups
    (64, 32, 3, 1), (37, 30, 3, 1), (5, 3, 1, 1), (33, 17, 2, 1), (32, 48, 3, 2), (64, 4, 3, 16),
    (24, 6, 1, 4), (40, 20, 5, 2),
]  # fmt: skip


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("f, c, k, groups", SHAPES)
def test_packed_weights_are_those_of_the_file(f, c, k, groups, turned):
    w = np.random.default_rng(0).standard_normal((f, c, k, k), dtype=np.float32)
    packed = packing.aligned(packing.packed_shape(w.shape, groups, turned=turned))
    packed[...] = 9
    kept = w.copy()
    maps.execute(packing.pack(w.ctypes.data, packed, shape=w.shape, groups=groups, turned=turned))
    np.testing.assert_array_equal(unpacked(packed, *packing.sides(w.shape, groups, turned), groups),
                                  dense(w, groups, turned))  # fmt: skip
    np.testing.assert_array_equal(w, kept)


def dense(w, groups, turned):
    """Return weights without groups, in whole blocks, zero elsewhere."""
    f, c = w.shape[:2]
    whole = np.zeros((f, c * groups, *w.shape[2:]), np.float32)
    for i in range(f):
        start = i // (f // groups) * c
        whole[i, start : start + c] = w[i]
    if turned:
        whole = whole.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]
    out, into = (-(-one // 16) * 16 for one in whole.shape[:2])
    result = np.zeros((out, into, *w.shape[2:]), np.float32)
    result[: whole.shape[0], : whole.shape[1]] = whole
    return result


def unpacked(packed, filters, channels, groups):
    """Return packed weights (filters, channels of x, k, k) in whole blocks."""
    out, seen, k = packed.shape[:3]
    blocks = -(-channels * groups // 16)
    result = np.zeros((out * 16, blocks * 16, k, k), np.float32)
    for i in range(out):
        start = min(i * 16 // filters * channels // 16, blocks - seen)
        part = packed[i].transpose(4, 0, 3, 1, 2).reshape(16, seen * 16, k, k)
        result[i * 16 : i * 16 + 16, start * 16 : (start + seen) * 16] = part
    return result


def test_weights_of_a_first_layer():
    w = np.random.default_rng(0).standard_normal((37, 3, 3, 3), dtype=np.float32)
    packed = packing.aligned(first.packed_shape(w.shape))
    packed[...] = 9
    maps.execute(first.pack(w.ctypes.data, packed, shape=w.shape))
    whole = np.zeros((48, 3, 3, 3), np.float32)
    whole[:37] = w
    np.testing.assert_array_equal(packed, whole.reshape(3, 16, 3, 3, 3).transpose(0, 2, 3, 4, 1))
