"""Pools and their gradients against the reference."""

from copy import copy

import numpy as np
import pytest

from darkpy.kernels import cuda
from tests.kernels.case import Case, equal
from tests.kernels.cases import CASES
from tests.kernels.cuda import agree as tools
from tests.kernels.cuda.agree import REFERENCE, agree, device

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


@pytest.mark.parametrize(
    ("type_", "sizes", "shape", "most_shared"),
    [
        ("float", (5, 9, 13), (2, 11, 7, 9), 64 << 10),
        ("half", (9, 2), (1, 21, 20, 3), 64 << 10),
        ("half", (3,), (70, 37, 2, 3), 64 << 10),  # pictures for all processors: pieces in fours
        ("half", (5, 9), (1, 5, 7, 9), 1 << 10),  # too large for shared memory: one by one
    ],
)
def test_pools_of_one_map(rng, type_, sizes, shape, most_shared):
    x = tools.rounded(rng.standard_normal(shape, np.float32), type_)
    for on in (device(), device(check=False, order="reverse")):
        small = copy(on)
        small.most_shared = most_shared
        ys = [tools.around(on, shape, type_) for _ in sizes]
        on.run(cuda.spp(small, ys, tools.to_map(on, x, type_), sizes=sizes))
        for y, size in zip(ys, sizes, strict=True):
            truth = REFERENCE.maxpool(x, size=size, stride=(1, 1), padding=size - 1)
            np.testing.assert_array_equal(tools.from_map(y), truth)
