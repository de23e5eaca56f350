"""What kernels take from kernels/cuda/common.cuh compiles for every architecture it tells apart."""

import shutil
import subprocess

import pytest

from .cases import INCLUDE, KERNELS

NVCC = shutil.which("nvcc")
ARCHITECTURES = ("sm_75", "sm_80", "sm_90a", "sm_120")
FILES = ("gemm_mma", "mma_fallback")  # between them they use every function but load16 and store16


@pytest.mark.skipif(NVCC is None, reason="there is no nvcc")
@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", FILES)
def test_compiles_for(tmp_path, architecture, file):
    command = [
        NVCC,
        f"-arch={architecture}",
        "-cubin",
        INCLUDE,
        "-Xptxas=-v",
        "-Werror=all-warnings",
    ]
    done = subprocess.run(
        [*command, KERNELS / f"{file}.cu", "-o", tmp_path / "kernel.cubin"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "0 bytes spill stores, 0 bytes spill loads" in done.stderr
