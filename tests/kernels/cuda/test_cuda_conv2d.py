"""Convolutions of one group, or of groups of whole pieces, by way of the op of the table.

`test_cuda_convolve` tries the kernels in full; here weights are packed on the device, beside what
the kernels take of scratch memory.
"""

import numpy as np
import pytest

from darkpy.kernels.cuda import conv2d_input_grad
from tests.kernels.case import conv, conv_grads
from tests.kernels.cuda.agree import REFERENCE, agree, compare, device, from_map, to_map

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


@pytest.mark.parametrize(("c", "f", "groups"), [(12, 12, 12), (12, 18, 6), (16, 8, 1)])
def test_gradient_is_added_to_that_which_is_there(c, f, groups):
    case, on = conv_grads(conv(c, (6, 5), f, 3, padding=1, groups=groups))[1], device()
    arrays = case.draw()
    before = np.random.default_rng(2).standard_normal(case.numbers["shape"]).astype(np.float32)
    dx, dy = (to_map(on, one, "float") for one in (before, arrays[0]))
    on.run(conv2d_input_grad(on, dx, dy, on.upload(arrays[1]), dx, **case.numbers))
    compare(from_map(dx), case.answers(REFERENCE, arrays)[0] + before, "float", case)
