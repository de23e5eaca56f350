"""What kernels take from kernels/cuda/common.cuh compiles for every architecture it tells apart."""

import pytest

from darkpy.kernels.cuda import sources
from tests.nvrtc import compiled, missing

from .cases import GEMM_BF16, GEMM_F16, HOPPER_BF16, HOPPER_F16, HOPPER_TF32, source

ARCHITECTURES = ("sm_75", "sm_80", "sm_90a", "sm_120")
# Between them they use every function but load16 and store16.
FILES = {"gemm_mma": (GEMM_F16, GEMM_BF16), "mma_fallback": ("mma_both_ways",)}


HOPPER = {HOPPER_F16: "64x64x16", HOPPER_BF16: "64x128x16", HOPPER_TF32: "64x256x8"}

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def in_one(file: str) -> str:
    """Return a kernel file with the file it includes in its place."""
    return source(file).replace('#include "common.cuh"', sources.source("common.cuh"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", FILES)
def test_compiles_for(architecture, file):
    kernels = compiled(in_one(file), FILES[file], architecture)
    # Turing has no products of bfloat16; the shuffles in their place take more registers.
    most = 16 if architecture == "sm_75" else 0
    assert max(one.spilled for one in kernels.values()) <= most


def test_products_of_a_warpgroup_compile():
    kernels = compiled(in_one("gemm_wgmma"), HOPPER, "sm_90a")
    for name, shape in HOPPER.items():
        assert kernels[name].count("HGMMA") == 4
        assert any(one.startswith(f"HGMMA.{shape}.F32") for one in kernels[name].opcodes)
        assert kernels[name].count("FENCE.VIEW.ASYNC") == 1
        assert kernels[name].spilled == 0
