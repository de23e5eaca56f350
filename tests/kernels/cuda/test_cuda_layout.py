"""Maps that are made, moved, added and made larger, with their gradients."""

import numpy as np
import pytest

from darkpy.kernels import cuda
from tests.hostcuda import Settings
from tests.hostcuda.device import host_device
from tests.kernels.cases import CASES
from tests.kernels.cuda import agree as tools
from tests.kernels.cuda.agree import agree, device

OPS = ("add", "channels", "channels_grad", "concat", "concat_grad", "upsample", "upsample_grad")
SMALL = [case for case in CASES if case.op in OPS and not case.timed]
FIRST = [next(case for case in SMALL if case.op == op) for op in OPS]


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize("case", FIRST, ids=str)
def test_agrees_in_16_bits(case, type_):
    agree(case, type_)


@pytest.mark.parametrize("type_", ["float", "half"])
@pytest.mark.parametrize("shape", [(2, 3, 12, 13), (1, 45, 5, 9), (2, 1, 1, 1)])
def test_planar_and_back(rng, shape, type_):
    on, x = device(), rng.standard_normal(shape, np.float32)
    y, back = tools.around(on, shape, type_), on.upload(np.full(shape, np.nan, np.float32))
    on.run(cuda.to_map(on, y, on.upload(x)))
    np.testing.assert_array_equal(tools.from_map(y), tools.rounded(x, type_))
    on.run(cuda.to_planar(on, back, y))
    np.testing.assert_array_equal(on.download(back), tools.rounded(x, type_))


def test_tiles_need_no_order(rng):
    x = rng.standard_normal((1, 40, 7, 6), np.float32)
    for order in ("reverse", "random"):
        on = device(check=False, order=order)
        y, back = tools.around(on, x.shape, "half"), np.empty_like(x)
        on.run([*cuda.to_map(on, y, x), *cuda.to_planar(on, back, y)])
        np.testing.assert_array_equal(back, tools.rounded(x, "half"))


@pytest.mark.parametrize("type_", ["float", "half"])
@pytest.mark.parametrize("c", [3, 45])
def test_tiles_have_no_bank_conflicts(type_, c):
    on = host_device(Settings(check=True, statistics=True))
    x, y = on.zeros(c * 12 * 13, np.float32), on.map((1, c, 12, 13), type_)
    for (launch,) in (cuda.to_map(on, y, x), cuda.to_planar(on, x, y)):
        on.run([launch])
        rows = on.kernel(launch.file, launch.name).traffic()
        shared = [row for row in rows if row.space == "shared"]
        assert {row.kind for row in shared} == {"read", "write"}
        assert all(row.cost == row.ideal for row in shared)


@pytest.mark.parametrize(
    ("old", "new"), [("float", "half"), ("half", "float"), ("half", "bf16"), ("float", "float")]
)
def test_types_of_maps(rng, old, new):
    on, x = device(), rng.standard_normal((2, 11, 3, 5), np.float32)
    y = tools.around(on, x.shape, new)
    on.run(cuda.convert(on, y, tools.to_map(on, x, old)))
    np.testing.assert_array_equal(tools.from_map(y), tools.rounded(tools.rounded(x, old), new))


def test_copies(rng):
    on, x = device(), rng.standard_normal((2, 11, 3, 5), np.float32)
    y = tools.around(on, x.shape, "half")
    on.run(cuda.copy(on, y, tools.to_map(on, x, "half")))
    np.testing.assert_array_equal(tools.from_map(y), tools.rounded(x, "half"))


def test_sums_of_more_maps_than_a_launch_takes(rng):
    on, xs = device(), [rng.standard_normal((1, 5, 2, 3), np.float32) for _ in range(6)]
    y = tools.around(on, xs[0].shape, "float")
    on.run(cuda.add(on, y, *(tools.to_map(on, x, "float") for x in xs), activation="leaky"))
    total = sum(xs)
    truth = np.where(total > 0, total, 0.1 * total)
    np.testing.assert_allclose(tools.from_map(y), truth, rtol=1e-5, atol=1e-6)
