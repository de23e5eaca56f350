"""A matrix times vectors, against the reference in float64."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import linear
from darkpy.kernels.cpu.engine.packing import aligned
from tests.kernels.engine.maps import blocked, execute, planar

reference = ops("reference")


@pytest.mark.parametrize("make", [blocked, planar])
@pytest.mark.parametrize(
    "n, shape, filters",
    [(1, (16, 5, 5), 40), (2, (3, 7, 3), 16), (8, (1, 1, 5), 7), (11, (4, 8, 9), 33)],
)
def test_linear(n, shape, filters, make):
    rng = np.random.default_rng(0)
    x = planar(n, *shape).put(rng.standard_normal((n, *shape)))
    w = rng.standard_normal((filters, int(np.prod(shape)))).astype(np.float32)
    b = aligned((-(-filters // 16) * 16,))
    b[:filters] = rng.standard_normal(filters)
    want = reference.linear(x.get().astype(float), w.astype(float))
    for bias in (None, b):
        y = make(n, filters, 1, 1, border=1)
        execute(linear.linear(x.map, y.map, w.ctypes.data, bias, activation="leaky"))
        total = want if bias is None else want + b[:filters, None, None]
        # sums of up to 400 products of float32
        np.testing.assert_allclose(y.get(), reference.activate(total, "leaky"), atol=3e-5)
        y.check()
