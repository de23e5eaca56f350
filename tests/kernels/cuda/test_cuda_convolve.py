"""Convolution on tensor cores and the gradient of its input, and what it does on the way out."""

from importlib import import_module
from itertools import product

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cuda.convolve import HOPPER_TILES, TILES, choose, input_grad
from darkpy.kernels.cuda.device import Map
from darkpy.kernels.cuda.packing import PRECISIONS, pack
from tests.hostcuda import Settings
from tests.hostcuda.device import host_device
from tests.kernels.case import Case, conv, conv_grads
from tests.kernels.cases import CONVOLUTIONS
from tests.kernels.cuda.agree import around, device, from_map, rounded, to_map

convolve = import_module("darkpy.kernels.cuda.convolve").convolve
REFERENCE = ops("reference")
# Of the norm. fp32: three products of tf32 leave out 2^-21 of each. tf32: operands of 11 bits.
# fp16, bf16: the operands are exact, what is written is rounded to 11 or 8 bits.
TOLERANCE = {"fp32": 3e-6, "tf32": 1e-3, "fp16": 5e-4, "bf16": 3e-3}
SMALL, LARGE = TILES[2], TILES[0]
HOPPER = HOPPER_TILES[2]


def dense(case: Case) -> bool:
    """Tell whether a case's groups have channels and filters in whole pieces of float32."""
    groups, w = case.numbers["groups"], case.draw()[1]
    return groups == 1 or (w.shape[1] % 4 == 0 and w.shape[0] // groups % 4 == 0)


DENSE = [case for case in CONVOLUTIONS if case.macs < 4e6 and dense(case)]
DENSE += [conv(16, 7, 24, 3, padding=1, groups=2), conv(8, (6, 5), 16, 3, 2, 1, groups=2, n=2)]
WIDE = [conv(40, (9, 11), 72, 3, padding=1, n=2), conv(72, (7, 6), 40, 3, 2, 1), conv(8, 9, 264, 3)]
SEVERAL = conv(24, (9, 11), 100, 3, padding=1, n=2)


def run(case: Case, precision: str, on=None, tile=SMALL, splits: int | None = 1, **tail) -> None:
    """Convolve a case's arrays with what is asked for on the way out, and compare."""
    on, type_ = on or device(), PRECISIONS[precision]
    out_type = tail.pop("out", type_)
    x, w = (rounded(one, type_) for one in case.draw())
    y = REFERENCE.conv2d(x.astype(float), w.astype(float), **case.numbers)
    rng = np.random.default_rng(1)
    bias = rng.standard_normal(w.shape[0]).astype(np.float32) if tail.pop("bias", False) else None
    y = y if bias is None else REFERENCE.bias(y, bias)
    residual = tail.pop("residual", "none")
    r = rounded(rng.standard_normal(y.shape).astype(np.float32), out_type)
    y = y + r if residual == "before" else y
    y = REFERENCE.activate(y, tail.get("activation", "linear"))
    y = y + r if residual == "after" else y
    y = y.repeat(tail.get("repeat", 1), 2).repeat(tail.get("repeat", 1), 3)
    out = around(on, y.shape, out_type)
    launches = convolve(
        on,
        out,
        to_map(on, x, type_),
        pack(w, type_, case.numbers["groups"]),
        bias,
        to_map(on, r, out_type) if residual != "none" else None,
        residual_first=residual == "before",
        size=w.shape[2],
        precision=precision,
        tile=tile,
        splits=splits,
        **case.numbers,
        **tail,
    )
    on.run(launches)
    near(out, y, TOLERANCE[precision])


def near(found: Map, truth: np.ndarray, tolerance: float) -> None:
    error = np.linalg.norm(from_map(found) - truth) / np.linalg.norm(truth)
    assert error <= tolerance, error


def run_grad(case: Case, precision: str, on=None, add: bool = False, **how) -> None:
    """Compute the gradient of the input of a case of conv2d_input_grad, and compare."""
    on, type_ = on or device(), PRECISIONS[precision]
    dy, w = (rounded(one, type_) for one in case.draw())
    truth = REFERENCE.conv2d_input_grad(dy.astype(float), w.astype(float), **case.numbers)
    numbers = {key: value for key, value in case.numbers.items() if key != "shape"}
    before = rounded(np.random.default_rng(2).standard_normal(truth.shape), type_)
    dx = to_map(on, before, type_)
    packed = pack(w, type_, numbers["groups"], turned=True)
    args = (dx, to_map(on, dy, type_), packed, dx if add else None)
    how = {"tile": SMALL, "splits": 1, **how}
    on.run(input_grad(on, *args, size=w.shape[2], precision=precision, **how, **numbers))
    near(dx, truth + before if add else truth, TOLERANCE[precision])


@pytest.mark.parametrize("case", DENSE, ids=str)
def test_agrees_with_the_reference(case):
    run(case, "fp32")


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16"])
def test_agrees_in_every_precision(precision):
    for case in WIDE:
        run(case, precision)


@pytest.mark.parametrize("case", DENSE, ids=str)
def test_gradient_of_the_input_agrees_with_the_reference(case):
    run_grad(conv_grads(case)[1], "fp32")


@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16"])
def test_gradient_agrees_in_every_precision_and_is_added(precision):
    for case in WIDE:
        run_grad(conv_grads(case)[1], precision, add=True)


@pytest.mark.parametrize("tile", TILES + HOPPER_TILES, ids=str)
def test_every_tile_gives_the_same_in_every_order(tile):
    for order, eager in product(("forward", "reverse", "random"), (False, True)):
        run(SEVERAL, "fp16", device(False, order, eager), tile, splits=2)
    run(SEVERAL, "fp16", tile=tile, splits=3)


def whole_pieces(case: Case) -> bool:
    """Tell whether a case's groups have channels and filters in whole pieces of 16 bits."""
    groups, w = case.numbers["groups"], case.draw()[1]
    return groups == 1 or (w.shape[1] % 8 == 0 and w.shape[0] // groups % 8 == 0)


@pytest.mark.parametrize("case", [case for case in DENSE + WIDE if whole_pieces(case)], ids=str)
def test_products_of_warpgroups_agree_with_the_reference(case):
    run(case, "fp16", tile=HOPPER)
    run_grad(conv_grads(case)[1], "fp16", tile=HOPPER)


def test_products_of_warpgroups_in_bf16_split_and_with_all_that_follows():
    run(SEVERAL, "bf16", tile=HOPPER, splits=2, bias=True, activation="leaky", residual="after")
    run_grad(conv_grads(SEVERAL)[1], "bf16", tile=HOPPER, splits=3, add=True)
    run(SEVERAL, "fp16", tile=HOPPER, out="float", repeat=2)


@pytest.mark.parametrize("splits", [1, 2, 5, 40])
def test_split_sums_are_whole(splits):
    run(SEVERAL, "fp32", splits=splits, bias=True)
    run_grad(conv_grads(SEVERAL)[1], "fp32", splits=splits)


@pytest.mark.parametrize("residual", ["none", "before", "after"])
@pytest.mark.parametrize("activation", ["leaky", "logistic"])
def test_bias_residual_and_activation(activation, residual):
    run(SEVERAL, "fp16", bias=True, activation=activation, residual=residual)


def test_writes_float32_of_half_and_repeats():
    run(SEVERAL, "fp16", out="float", bias=True)
    run(SEVERAL, "fp16", repeat=2)


@pytest.mark.parametrize("tile", [LARGE, SMALL, TILES[3], *HOPPER_TILES[:2]], ids=str)
def test_gives_statistics_of_each_block(tile):
    on = device()
    x, w = SEVERAL.draw()
    x, w = rounded(x + 8, "half"), rounded(w, "half")  # means larger than deviations
    y = REFERENCE.conv2d(x.astype(float), w.astype(float), **SEVERAL.numbers)
    flat = y.transpose(0, 2, 3, 1).reshape(-1, y.shape[1])
    blocks = -(-len(flat) // tile.pixels)
    partials = np.full((blocks, 2, y.shape[1]), np.nan, np.float32)
    out = around(on, y.shape, "half")
    args = (out, to_map(on, x, "half"), pack(w, "half"))
    how = {"size": 3, "partials": partials, "tile": tile, "splits": 2}
    on.run(convolve(on, *args, **how, **SEVERAL.numbers))
    for block, found in enumerate(partials):
        rows = flat[block * tile.pixels : (block + 1) * tile.pixels]
        np.testing.assert_allclose(found[0], rows.mean(0), rtol=1e-4, atol=1e-3)
        squares = ((rows - rows.mean(0)) ** 2).sum(0)
        np.testing.assert_allclose(found[1], squares, rtol=1e-3, atol=1e-3)


def test_reads_and_writes_memory_without_waste():
    on = host_device(Settings(check=True, statistics=True))
    x, w = (one.astype(np.float16) for one in conv(64, (16, 16), 64, 3, padding=1).draw())
    given, out = on.map((1, 64, 16, 16), "half"), on.map((1, 64, 16, 16), "half")
    given.array[:] = x.transpose(0, 2, 3, 1).reshape(-1)
    packed = on.upload(pack(w, "half"))
    launches = convolve(on, out, given, packed, size=3, padding=1, tile=SMALL, splits=1)
    on.run(launches)
    kernel = on.kernel(launches[0].file, launches[0].name)
    seen = {name: [] for name in ("cp_async16(left", "cp_async16(right", "ldmatrix_x4(r, from_")}
    for row in kernel.traffic():
        for name, rows in seen.items():
            rows += [row] if name in row.line else []
    assert all(seen.values())
    for row in (row for rows in seen.values() for row in rows):
        assert row.cost == row.ideal, row


def test_small_maps_are_split_and_large_ones_are_not():
    tile, splits = choose(132, 169, 512, 1, 9 * 256, 8, "fp16")
    assert splits > 1 and tile.pixels * tile.filters < 128 * 128
    assert choose(132, 32 * 304 * 304, 128, 1, 9 * 64, 8, "fp16") == (LARGE, 1)


def test_hopper_computes_large_maps_of_16_bits_by_warpgroups():
    large = (132, 32 * 38 * 38, 256, 1, 9 * 256)
    assert choose(*large, 8, "fp16", arch=90) == (HOPPER_TILES[0], 1)
    assert choose(*large, 8, "fp16", arch=100)[0] in TILES
    assert choose(*large, 4, "tf32", arch=90)[0] in TILES
    assert choose(132, 169, 255, 1, 1024, 8, "fp16", arch=90)[0] in TILES


def test_takes_tiles_that_the_device_has_room_for():
    large = (68, 32 * 38 * 38, 256, 1, 9 * 256, 8, "fp16")
    tile, _ = choose(*large, arch=75, most_shared=64 << 10)
    assert tile.shared <= 64 << 10 < choose(*large)[0].shared


def test_refuses_windows_and_groups_that_it_cannot_take():
    on = device()
    x, y = on.map((1, 8, 4, 4), "half"), on.map((1, 8, 4, 4), "half")
    with pytest.raises(ValueError, match="groups = 4: expected groups of whole pieces"):
        convolve(on, y, x, x.array, size=3, padding=1, groups=4)
    with pytest.raises(ValueError, match="size = 33: expected 32 at most"):
        convolve(on, y, x, x.array, size=33, padding=16)
