"""The gradient of a convolution's weights on tensor cores."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from darkpy.kernels.cuda.device import Map
from darkpy.kernels.cuda.packing import PRECISIONS
from darkpy.kernels.cuda.weight_grad import MOST, TILES, dense_weight_grad
from tests.hostcuda import Settings
from tests.hostcuda.device import host_device
from tests.kernels.case import Case, conv, conv_grads
from tests.kernels.cuda.agree import REFERENCE, agree, compare, device, rounded, to_map
from tests.kernels.cuda.convolutions import small

SMALL = [case for case in small("dense", "conv2d_weight_grad") if case.macs < 4e6]
# Groups in whole pieces, pictures of fewer pixels than a step, windows that lie outside.
WHOLE = [
    conv_grads(case)[0]
    for case in (
        conv(48, (5, 7), 80, 3, (2, 1), 1, groups=2, n=3),
        conv(24, (1, 2), 40, 3, padding=2, dilation=2, n=5),
        conv(72, 3, 136, 1, 2, n=2),
    )
]
# Parts of the largest value of an answer. fp32: three products of tf32, 2^-21 left out of each, and
# sums in another order. The others: operands rounded to 11 or 8 bits; of fp16 and bf16 those of the
# maps, which are so already, so that nothing is rounded but sums.
TOLERANCE = {"fp32": 1e-5, "tf32": 1e-3, "fp16": 1e-5, "bf16": 1e-5}


def run(case: Case, precision: str, on=None, before: float = 0, **how) -> None:
    """Compute the gradient of a case's weights, added to ``before`` if not 0, and compare."""
    on, type_ = on or device(), PRECISIONS[precision]
    arrays = [rounded(one, type_) for one in case.draw()]
    truth = case.answers(REFERENCE, [one.astype(float) for one in arrays])[0]
    maps = [to_map(on, one, type_) for one in arrays]
    dw = on.upload(np.full(truth.shape, before or np.nan, np.float32))
    how |= {"precision": precision, "accumulate": bool(before), **case.numbers}
    on.run(dense_weight_grad(on, dw, *maps, **how))
    near = replace(case, tolerance=TOLERANCE[precision])
    compare(on.download(dw), truth + before, "float", near)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("precision", TOLERANCE)
def test_agrees_in_every_precision(precision):
    for case in WHOLE:
        run(case, precision)


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_every_tile_gives_the_same_in_every_order(tile):
    for order, eager in product(("forward", "reverse", "random"), (False, True)):
        run(WHOLE[0], "fp16", device(False, order, eager), tile=tile, splits=2)
    run(WHOLE[0], "fp16", tile=tile)


@pytest.mark.parametrize("splits", [1, 2, 3, 50])
def test_split_sums_are_whole_and_added_to_what_is_there(splits):
    run(WHOLE[0], "fp32", splits=splits, before=2.0)


def aligned(shape: tuple[int, ...], type_: str) -> Map:
    """Return a map of numbers that begins at a multiple of 128 bytes, as on a GPU."""
    on = device()
    whole = on.map((1, shape[1] + 128, *shape[2:]), type_)
    at = -whole.array.ctypes.data % 128 // whole.array.itemsize
    n, c, h, w = shape
    one = Map(whole.array[at : at + n * h * w * c], n, c, h, w, c, type_)
    one.array[...] = 1
    return one


@pytest.mark.parametrize(("precision", "tile"), [("fp16", TILES[2]), ("tf32", TILES[1])], ids=str)
def test_main_loop_wastes_nothing(precision, tile):
    on = host_device(Settings(check=True, statistics=True))
    dy, x = (aligned((1, c, 6, 12), PRECISIONS[precision]) for c in (128, 64))
    dw = on.zeros(128 * 64 * 9, np.float32)
    numbers = {"size": 3, "stride": (1, 1), "padding": 1, "dilation": 1}
    launch, last = dense_weight_grad(on, dw, dy, x, **numbers, precision=precision, tile=tile)
    on.run([launch, last])
    rows = on.kernel(launch.file, launch.name).traffic()
    wasteful = [row for row in rows if row.cost != row.ideal]
    assert {row.space for row in rows} == {"shared", "global"} and not wasteful, wasteful


def test_float32_sums_are_no_deeper_than_tensor_cores_add_well():
    on = device()
    dy, x = (Map(on.zeros(1, np.float32), 8, c, 416, 416, c, "float") for c in (32, 4))
    numbers = {"size": 3, "stride": (1, 1), "padding": 1, "dilation": 1}
    shares = {
        precision: dense_weight_grad(on, None, dy, x, **numbers, precision=precision)[0].args[-1]
        for precision in ("tf32", "fp32")
    }
    assert shares["fp32"]["share"] <= MOST < shares["tf32"]["share"]
