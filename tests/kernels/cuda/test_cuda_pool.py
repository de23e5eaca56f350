"""Pools and their gradients against the reference."""

import pytest

from darkpy.kernels import cuda
from tests.kernels.case import Case, equal
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree, device

OPS = (
    "avgpool",
    "avgpool_grad",
    "local_avgpool",
    "local_avgpool_grad",
    "maxpool",
    "maxpool_depth",
    "maxpool_depth_grad",
    "maxpool_grad",
    "zero_nonmax_grad",
)
KNOWN = Case("zero_nonmax", "known", (equal(2, 3, 5, 6), equal(2, 3, 5, 6)))
SMALL = [KNOWN, *(case for case in CASES if case.op in OPS and not case.timed)]
FIRST = [KNOWN] + [next(case for case in SMALL if case.op == op) for op in OPS]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize("case", FIRST, ids=str)
def test_agrees_in_16_bits(case, type_):
    agree(case, type_)


def test_gradients_know_no_larger_windows():
    on = device()
    x, y = on.map((1, 1, 300, 300), "float"), on.map((1, 1, 1, 1), "float")
    with pytest.raises(ValueError, match="size 300: expected at most 255"):
        cuda.maxpool_grad(on, x, y, x, y, size=300, stride=(1, 1), padding=0)
