"""Cells that become channels, rectangles of pictures, and sums over neighbouring channels."""

import numpy as np
import pytest

from darkpy.kernels import cuda
from tests.kernels.cases import CASES
from tests.kernels.cuda import agree as tools
from tests.kernels.cuda.agree import REFERENCE, agree, device

OPS = (
    "crop",
    "crop_grad",
    "depth_to_space",
    "lrn",
    "lrn_grad",
    "reorg",
    "reorg_inverse",
    "space_to_depth",
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


def test_crops_where_the_device_says(rng):
    on, x = device(), rng.standard_normal((2, 3, 6, 7)).astype(np.float32)
    places = on.zeros(6, np.float32).reshape(2, 3)
    keys = {"height": 4, "width": 3, "scale": 2.0, "offset": -1.0}
    y = tools.around(on, (2, 3, 4, 3), "float")
    calls = on.bind(cuda.crop(on, y, tools.to_map(on, x, "float"), places, **keys))
    for where in ([(1, 2, True), (0, 3, False)], [(2, 4, False), (2, 0, True)]):
        on.write(places, np.array(where, np.float32))
        for call in calls:
            call()
        truth = REFERENCE.crop(x, places, **keys)
        np.testing.assert_allclose(tools.from_map(y), truth, rtol=1e-6, atol=1e-6)
