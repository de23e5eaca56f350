"""Activations and their gradients, number by number and over channels, and softmax."""

import numpy as np
import pytest

from darkpy.kernels import cuda
from darkpy.kernels.common.activations import ACTIVATIONS
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import REFERENCE, agree, device

OPS = ("activate", "activate_grad", "softmax", "softmax_grad")
SMALL = [case for case in CASES if case.op in OPS and not case.timed]
OVER_CHANNELS = sorted({row.name for row in ACTIVATIONS.values() if row.over_channels})


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize(
    "case", [one for one in SMALL if "wide" in one.name or "300" in one.name], ids=str
)
def test_agrees_in_16_bits(case, type_):
    agree(case, type_)


@pytest.mark.parametrize("name", OVER_CHANNELS)
def test_over_channels_of_parameters(rng, name):
    on, shape = device(), (1, 3, 7, 1)
    x, dy = rng.standard_normal((2, *shape)).astype(np.float32).round(1)
    y, dx = np.full((2, *shape), np.nan, np.float32)
    on.run(cuda.activate(on, y, x, name) + cuda.activate_grad(on, dx, dy, x, name))
    np.testing.assert_allclose(y, REFERENCE.activate(x, name), rtol=1e-5, atol=1e-6)
    truth = REFERENCE.activate_grad(dy, x, name)
    np.testing.assert_allclose(dx, truth, rtol=1e-5, atol=1e-6)
