"""Biases, products, shortcuts and what is given to every picture, with their gradients."""

import numpy as np
import pytest

from darkpy.kernels import cuda
from darkpy.plan import fused
from tests.kernels.cases import CASES
from tests.kernels.cuda import agree as tools
from tests.kernels.cuda.agree import REFERENCE, agree, device

OPS = (
    "bias",
    "bias_grad",
    "multiply",
    "multiply_grad",
    "repeat",
    "repeat_grad",
    "shortcut",
    "shortcut_grad",
    "signs",
    "weighted_shortcut",
    "weighted_shortcut_grad",
    "zeros_like",
)
SMALL = [case for case in CASES if case.op in OPS and not case.timed]
LAST = [[case for case in SMALL if case.op == op][-1] for op in OPS]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize("case", LAST, ids=str)
def test_agrees_in_16_bits(case, type_):
    agree(case, type_)


@pytest.mark.parametrize("op", ["shortcut", "multiply"])
def test_fused_with_an_activation(rng, op):
    on, xs = device(), rng.standard_normal((2, 1, 11, 2, 3)).astype(np.float32)
    y = tools.around(on, xs[0].shape, "float")
    given = (tools.to_map(on, x, "float") for x in xs)
    on.run(getattr(cuda, op)(on, y, *given, activation="leaky"))
    truth = getattr(fused, op)(REFERENCE, *xs, activation="leaky")
    np.testing.assert_allclose(tools.from_map(y), truth, rtol=1e-5, atol=1e-6)


def test_factors_that_fit_no_product():
    on = device()
    z, y = on.map((2, 4, 4, 4), "float"), on.map((2, 4, 2, 2), "float")
    with pytest.raises(ValueError, match="2 x 2 cells of 4 x 4: expected all or one"):
        cuda.multiply(on, z, z, y)
    with pytest.raises(ValueError, match="expected one of one cell or of one channel"):
        cuda.multiply_grad(on, (y, z), z, y, z)
