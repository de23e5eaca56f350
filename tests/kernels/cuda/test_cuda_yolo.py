"""What the heads make of their maps, as maps, and as arrays for the host."""

import numpy as np
import pytest

from darkpy.kernels import cuda, ops
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, device, to_map

REFERENCE = ops("reference")
HEADS = ("yolo", "gaussian_yolo", "region", "region_inverse")
SMALL = [case for case in CASES if case.op in HEADS and not case.timed]
FIRST = [next(case for case in SMALL if case.op == op) for op in HEADS]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("case", FIRST[:3], ids=str)
def test_takes_half(case):
    agree(case, "half")


@pytest.mark.parametrize("order", ["forward", "reverse"])
@pytest.mark.parametrize("op", HEADS[:3])
def test_gives_the_array_that_the_host_reads(op, order, rng):
    x = rng.standard_normal((2, 45, 7, 6), dtype=np.float32)
    numbers = {"classes": 4 if op.startswith("g") else 10}
    x = x[:, : 39 if op.startswith("g") else 45]
    for check in (True, False):
        on = device(check, order)
        y = np.full(x.shape, np.nan, np.float32)
        on.run(getattr(cuda, op)(on, y, to_map(on, x, "float"), **numbers))
        np.testing.assert_allclose(y, getattr(REFERENCE, op)(x, **numbers), rtol=1e-6, atol=1e-7)


def test_takes_the_array_of_a_region_back(rng):
    y = rng.standard_normal((2, 16, 3, 4), dtype=np.float32)
    on = device()
    x = on.map(y.shape, "float")
    on.run(cuda.region_inverse(on, x, y, classes=3))
    found = x.array.reshape(2, 3, 4, 16)
    np.testing.assert_array_equal(found, y.reshape(2, 3, 4, 16))
