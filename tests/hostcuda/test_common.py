"""What kernels take from kernels/cuda/common.cuh compiles for every architecture it tells apart."""

import pytest

from darkpy.kernels.cuda import device
from tests.nvrtc import compiled, missing

from .cases import GEMM_BF16, GEMM_F16, source

ARCHITECTURES = ("sm_75", "sm_80", "sm_90a", "sm_120")
# Between them they use every function but load16 and store16.
FILES = {"gemm_mma": (GEMM_F16, GEMM_BF16), "mma_fallback": ("mma_both_ways",)}


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", FILES)
def test_compiles_for(architecture, file):
    common = device.source("common.cuh")
    code = source(file).replace('#include "common.cuh"', common)
    kernels = compiled(code, FILES[file], architecture)
    # Turing has no products of bfloat16; the shuffles in their place take more registers.
    most = 16 if architecture == "sm_75" else 0
    assert max(one.spilled for one in kernels.values()) <= most
