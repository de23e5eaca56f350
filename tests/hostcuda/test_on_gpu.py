"""Tests that run on a GPU where there is one run on copies of their arrays; here of CuPy's own."""

import sys

import numpy as np
import pytest

from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import agree

from . import missing, on_gpu
from .cupy import cupy
from .device import host_device

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def gpu(monkeypatch):
    """Let this machine have a GPU, and its tests run there."""
    monkeypatch.setitem(sys.modules, "cupy", cupy())
    monkeypatch.setenv(on_gpu.VARIABLE, "1")


@pytest.mark.parametrize("op", ["activate", "shortcut_grad", "conv2d"])
def test_ops_agree_on_copies(gpu, op):
    on = host_device()
    agree(next(case for case in CASES if case.op == op and case.macs < 1e6), on=on)
    assert {type(one) for one in on._kernels.values()} == {on_gpu.Kernel}


def test_parts_of_one_array_stay_parts_of_one():
    spans = [(256, 300), (512, 600), (290, 400), (280, 290), (600, 601)]
    assert on_gpu._merged(spans) == [(256, 400), (512, 600), (600, 601)]


def test_a_copy_is_as_aligned_as_its_original(gpu):
    code = 'extern "C" __global__ void one(const float* x, float* y) { y[1] = x[0]; }'
    kernel = on_gpu.RawModule(code).get_function("one")
    x = np.arange(64, dtype=np.float32)
    kernel((1,), (1,), (x[3:], x[8:]))
    assert x[9] == 3 and (np.delete(x, 9) == np.delete(np.arange(64), 9)).all()
    assert kernel._copy(*on_gpu._span(x[3:])).data.ptr % 256 == x[3:].ctypes.data % 256
