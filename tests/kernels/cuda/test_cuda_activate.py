"""Activations and their gradients, of all rows of the table that act on each number alone."""

import pytest

from darkpy.kernels.common.activations import ACTIVATIONS
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree

SMALL = [
    case
    for case in CASES
    if case.op in ("activate", "activate_grad")
    and not case.timed
    and not ACTIVATIONS[case.numbers["name"]].over_channels
]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)
