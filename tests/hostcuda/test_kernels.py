"""Kernels give what they must in every order, with late and early copies, and pass every check."""

import pytest

from . import Settings, missing
from .cases import CASES

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

ORDERS = [("forward", 0), ("reverse", 0), ("random", 1), ("random", 2)]


@pytest.mark.parametrize("check", [True, False], ids=["checked", "fast"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_kernel_in_every_order(case, check):
    for order, seed in ORDERS:
        for eager in (False, True):
            case.run(case.kernel(Settings(order, seed, eager, check)))
