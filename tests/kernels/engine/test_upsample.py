"""Upsampling of blocked maps, against the reference."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import upsample
from tests.kernels.engine.maps import blocked, execute

reference = ops("reference")


@pytest.mark.parametrize("scale", [1.0, 0.3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_upsample_and_its_gradient(stride, scale):
    rng = np.random.default_rng(0)
    x = blocked(2, 21, 5, 7, border=1).put(rng.standard_normal((2, 21, 5, 7)))
    wide = blocked(2, 64, 5 * stride, 7 * stride, border=2)
    y = wide.range(16, 21)
    execute(upsample.upsample(x.map, y.map, stride=stride, scale=scale))
    numbers = {"stride": stride, "scale": scale}
    np.testing.assert_allclose(y.get(), reference.upsample(x.get(), **numbers), rtol=1e-7)
    assert not wide.array[:, 0].any()
    wide.check()
    y.put(rng.standard_normal(y.get().shape))
    dx = blocked(2, 21, 5, 7, border=1)
    execute(upsample.upsample_grad(y.map, dx.map, stride=stride, scale=scale))
    want = reference.upsample_grad(y.get().astype(float), **numbers)
    np.testing.assert_allclose(dx.get(), want, rtol=0, atol=2e-6)  # sums of nine float32
    dx.check()
