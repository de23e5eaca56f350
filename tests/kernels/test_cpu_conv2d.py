from importlib import import_module
from itertools import product

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu import blas, threads, winograd
from tests.kernels.case import conv

conv2d = import_module("darkpy.kernels.cpu.conv2d")  # its function has the module's name
SHAPES = [
    conv(3, (5, 6), 4, 3, padding=1, n=2),
    conv(3, (6, 5), 2, 3, (2, 1), 1),
    conv(2, 7, 3, 2, (1, 3), 2, 2),
    conv(4, 5, 6, 3, 2, 3, groups=2),
    conv(4, 6, 4, 3, 2, 1, groups=4),
    conv(4, 5, 4, 5, 1, 4, 2, groups=4),
    conv(3, 4, 2, 1),
    conv(3, 5, 2, 1, 2),
]


def by_seven_loops(x, w, stride, padding, dilation, groups):
    (n, _, height, width), (f, per, k, _) = x.shape, w.shape
    rows = (height + 2 * padding - dilation * (k - 1) - 1) // stride[0] + 1
    cols = (width + 2 * padding - dilation * (k - 1) - 1) // stride[1] + 1
    y = np.zeros((n, f, rows, cols))
    for image, filter_, row, col in product(range(n), range(f), range(rows), range(cols)):
        first = filter_ // (f // groups) * per
        for c, i, j in product(range(per), range(k), range(k)):
            down = row * stride[0] + i * dilation - padding
            right = col * stride[1] + j * dilation - padding
            if 0 <= down < height and 0 <= right < width:
                y[image, filter_, row, col] += (
                    float(x[image, first + c, down, right]) * w[filter_, c, i, j]
                )
    return y


@pytest.mark.parametrize("device", ["reference", "cpu"])
@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_is_what_seven_loops_give(case, device):
    x, w = case.draw()
    truth = by_seven_loops(x, w, **case.numbers)
    answer = ops(device).conv2d(x, w, **case.numbers)
    assert answer.dtype == np.float32
    assert answer.shape == truth.shape
    # sums of at most 75 products of normal numbers, each exact to 6e-8
    assert np.abs(answer - truth).max() < 5e-6


@pytest.mark.parametrize("most", [1, 1000, 5000])
def test_bands_of_any_height_give_the_same(most, monkeypatch):
    case = conv(3, (20, 15), 4, 3, 2, 1)
    x, w = case.draw()
    whole = ops("cpu").conv2d(x, w, **case.numbers)
    monkeypatch.setattr(conv2d, "MOST", most)
    banded = ops("cpu").conv2d(x, w, **case.numbers)
    assert np.abs(banded - whole).max() <= case.tolerance * np.abs(whole).max()


def test_tiles_in_any_chunks_give_the_same(monkeypatch):
    monkeypatch.setattr(winograd, "MOST", 1)
    for case in (conv(16, (31, 34), 18, 3, padding=1), conv(17, (12, 9), 16, 3, n=7)):
        x, w = case.draw()
        y = ops("cpu").conv2d(x, w, **case.numbers)
        whole = y, ops("cpu").conv2d_weight_grad(y, x, size=3, **case.numbers)
        for deep in (1, 40, 100):
            monkeypatch.setattr(winograd, "DEEP", deep)
            parts = (
                ops("cpu").conv2d(x, w, **case.numbers),
                ops("cpu").conv2d_weight_grad(y, x, size=3, **case.numbers),
            )
            for one, other in zip(whole, parts, strict=True):
                assert np.abs(one - other).max() <= 3e-6 * np.abs(one).max()


def test_a_blas_that_cannot_be_kept_to_one_thread_has_the_whole_product(monkeypatch):
    monkeypatch.setattr(blas, "CONTROLS", None)
    monkeypatch.setattr(blas, "divisible", False)
    monkeypatch.setattr(threads, "CORES", 4)
    monkeypatch.setattr(threads, "GRAIN", 1e-9)
    for case in (conv(8, 12, 6, 1), conv(8, 12, 6, 3, padding=1)):
        assert conv2d.shares(12, 1e9) == [(0, 12)]
        x, w = case.draw()
        truth = ops("reference").conv2d(x, w, **case.numbers)
        answer = ops("cpu").conv2d(x, w, **case.numbers)
        assert np.abs(answer - truth).max() <= case.tolerance * np.abs(truth).max()


def test_a_window_far_wider_than_the_map_needs_little_memory():
    x, w = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 3, 3), np.float32)
    numbers = {"stride": (1, 1), "padding": 1 << 20, "dilation": 1 << 20, "groups": 1}
    y = ops("cpu").conv2d(x, w, **numbers)  # within a border the map would have 2^42 cells
    assert np.array_equal(y, x)


def test_a_batch_of_none_gives_none():
    y = ops("cpu").conv2d(np.empty((0, 3, 8, 8), np.float32), np.empty((4, 3, 3, 3), np.float32))
    assert y.shape == (0, 4, 6, 6)
