"""Convolutions with weights of their own at every place, and their gradients."""

import numpy as np
import pytest

from darkpy.kernels.cuda import local_weight_grad
from tests.kernels.case import Case, normal
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import REFERENCE, agree, compare, device, to_map


def all_three(case: Case) -> list[Case]:
    """Return a case of ``local`` and those of its gradients."""
    x, w = (one.shape for one in case.draw()[:2])
    numbers, dy = case.numbers, normal(x[0], w[2], *w[:2])
    return [
        case,
        Case("local_input_grad", case.name, (dy, case.arrays[1]), {"shape": x, **numbers}),
        Case("local_weight_grad", case.name, (dy, case.arrays[0]), {"size": w[-1], **numbers}),
    ]


# More pictures than a block has, more channels than are seen at once, more filters than a warp.
LARGE = Case(
    "local",
    "large",
    (normal(5, 70, 3, 4), normal(3, 3, 37, 70, 3, 3), normal(37, 3, 3)),
    {"stride": 2, "padding": 2},
)
ALL = [case for case in CASES if case.op == "local"] + [LARGE]


@pytest.mark.parametrize("case", [one for case in ALL for one in all_three(case)], ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize("case", all_three(ALL[0]), ids=str)
def test_agrees_with_16_bits(case, type_):
    agree(case, type_)


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_order_of_threads_does_not_matter(order):
    agree(LARGE, on=device(check=False, order=order))


def test_gradients_are_added_to_what_is_there():
    case, on = all_three(LARGE)[2], device()
    arrays = case.draw()
    truths = case.answers(REFERENCE, arrays)
    grads = tuple(on.upload(np.ones(one.shape, np.float32)) for one in truths)
    maps = (to_map(on, one, "float") for one in arrays)
    on.run(local_weight_grad(on, grads, *maps, **case.numbers, accumulate=True))
    for found, truth in zip(grads, truths, strict=True):
        compare(on.download(found), truth + 1, "float", case)
