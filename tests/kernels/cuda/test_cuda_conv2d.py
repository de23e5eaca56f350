"""Convolutions of one group, or of groups of whole pieces, by way of the op of the table.

`test_cuda_convolve` tries the kernels in full; here weights are packed on the device, beside what
the kernels take of scratch memory.
"""

import pytest

from tests.kernels.case import conv, conv_grads
from tests.kernels.cuda.agree import agree

CASES = [
    conv(40, (9, 11), 72, 3, padding=1, n=2),
    conv(48, (5, 7), 80, 3, (2, 1), 1, groups=2),
    conv(600, 3, 20, 3, padding=1),  # a sum that is split
]


@pytest.mark.parametrize("type_", ["float", "half"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_agrees_with_the_reference(case, type_):
    agree(case, type_)
    agree(conv_grads(case)[1], type_)
