"""The kernels that try the shim: how each is launched, and what it must give."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tests.conftest import ROOT

from . import Kernel, RawModule, Settings, on_gpu

KERNELS = ROOT / "tests" / "hostcuda" / "kernels"
INCLUDE = f"-I{ROOT / 'kernels' / 'cuda'}"
GEMM_F16 = "gemm<half, 3>"
GEMM_BF16 = "gemm<__nv_bfloat16, 2>"
HOPPER_F16 = "gemm<half, 64, 4>"
HOPPER_BF16 = "gemm<__nv_bfloat16, 128, 3>"
HOPPER_TF32 = "gemm<float, 256, 3>"


def source(name: str) -> str:
    """Return the text of a kernel file."""
    return (KERNELS / f"{name}.cu").read_text("utf-8")


def kernel(
    code: str,
    name: str,
    settings: Settings,
    *,
    template: bool = False,
) -> Kernel:
    """Return a kernel of a source; a template's name is an expression."""
    names = (name,) if template else ()
    kind = on_gpu.RawModule if on_gpu.asked() else RawModule
    return kind(code, (INCLUDE,), names, settings).get_function(name)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def within(array: np.ndarray) -> np.ndarray:
    """Return a copy that lies in a larger array: what a kernel does beside it harms nobody."""
    around = np.full(array.size + 4096, np.nan, array.dtype)
    inner = around[2048 : 2048 + array.size].reshape(array.shape)
    inner[...] = array
    return inner


def run(
    body: str, *, threads: int = 64, blocks: int = 1, shared: int = 0, **settings
) -> np.ndarray:
    """Run a kernel body on an array x of 64 zeros, of a larger array, and return x."""
    code = f"""
#include "common.cuh"
extern "C" __global__ void k(float* x) {{
  extern __shared__ __align__(1024) unsigned char smem[];
  int t = threadIdx.x;
  {body}
}}"""
    x = np.zeros(1024, np.float32)[256:320]
    module = RawModule(code, (INCLUDE,), settings=Settings(**settings))
    module.get_function("k")((blocks,), (threads,), (x,), shared_mem=shared)
    return x


def run_scale(scale: Kernel) -> None:
    x, y = normal(1000), within(np.full(1000, np.nan, np.float32))
    scale((3,), (128,), (x, y, np.float32(2), np.float32(1), np.int32(x.size)))
    np.testing.assert_allclose(y, 2 * x + 1, rtol=1e-6)


def run_reduce(reduce: Kernel) -> None:
    x, total = normal(5000), within(np.zeros(1, np.float32))
    reduce((3,), (256,), (x, total, np.int32(x.size)))
    np.testing.assert_allclose(total, x.sum(dtype=np.float64), rtol=1e-5, atol=1e-3)


def run_reduce_in_order(reduce: Kernel) -> None:
    x, total = normal(3000), within(np.zeros(1, np.float32))
    parts, done = within(np.zeros(5, np.float32)), np.zeros(1, np.uint32)
    reduce((5,), (32,), (x, parts, done, total, np.int32(x.size)))
    np.testing.assert_allclose(total, x.sum(dtype=np.float64), rtol=1e-5, atol=1e-3)


def run_sgemm(sgemm: Kernel) -> None:
    m, n, k = 70, 33, 21
    a, b = normal(m, k), normal(k, n)
    c = within(np.full((m, n), np.nan, np.float32))
    sgemm((2, 3), (64,), (a, b, c, np.int32(m), np.int32(n), np.int32(k)))
    np.testing.assert_allclose(c, a.astype(float) @ b, rtol=1e-5, atol=1e-5)


def _run_gemm(gemm: Kernel, a: np.ndarray, b: np.ndarray, truth: np.ndarray, stages: int) -> None:
    (m, k), n = a.shape, b.shape[1]
    c = within(np.full((m, n), np.nan, np.float32))
    sizes = (np.int32(m), np.int32(n), np.int32(k))
    gemm((2, 2), (128,), (a, b, c, *sizes), shared_mem=stages * 2 * 64 * 32 * 2)
    # Products are exact; the sums of 104 of them are rounded to float32.
    np.testing.assert_allclose(c, truth, rtol=1e-5, atol=1e-4)


def run_gemm_f16(gemm: Kernel) -> None:
    a, b = normal(70, 104).astype(np.float16), normal(104, 72).astype(np.float16)
    _run_gemm(gemm, a, b, a.astype(float) @ b.astype(float), stages=3)


def run_gemm_bf16(gemm: Kernel) -> None:
    a, b = normal(70, 104).view(np.uint32) >> 16, normal(104, 72).view(np.uint32) >> 16
    truth = (a << 16).view(np.float32).astype(float) @ (b << 16).view(np.float32).astype(float)
    _run_gemm(gemm, a.astype(np.uint16), b.astype(np.uint16), truth, stages=2)


def _run_hopper(gemm: Kernel, a: np.ndarray, b: np.ndarray, truth: np.ndarray) -> None:
    (m, k), n = a.shape, b.shape[0]
    columns, stages = (int(word) for word in gemm.name.rstrip(">").split(", ")[1:])
    c = within(np.full((m, n), np.nan, np.float32))
    shared = stages * (128 + columns) * 128
    gemm.max_dynamic_shared_size_bytes = shared
    grid = (-(-n // columns), -(-m // 128))
    gemm(grid, (256,), (a, b, c, *map(np.int32, (m, n, k))), shared_mem=shared)
    np.testing.assert_allclose(c, truth, rtol=1e-5, atol=1e-4)


def run_hopper_f16(gemm: Kernel) -> None:
    a, b = normal(140, 328).astype(np.float16), normal(72, 328).astype(np.float16)
    _run_hopper(gemm, a, b, a.astype(float) @ b.astype(float).T)


def run_hopper_bf16(gemm: Kernel) -> None:
    a, b = (normal(rows, 200).view(np.uint32) >> 16 for rows in (70, 136))
    truth = (a << 16).view(np.float32).astype(float) @ (b << 16).view(np.float32).astype(float).T
    _run_hopper(gemm, a.astype(np.uint16), b.astype(np.uint16), truth)


def run_hopper_tf32(gemm: Kernel) -> None:
    a, b = (normal(rows, 100).view(np.uint32) & ~np.uint32(0x1FFF) for rows in (128, 250))
    a, b = a.view(np.float32), b.view(np.float32)
    _run_hopper(gemm, a, b, a.astype(float) @ b.astype(float).T)


def run_mma_tf32(mma: Kernel) -> None:
    a, b = (normal(n, 8).view(np.uint32) & ~np.uint32(0x1FFF) for n in (16, 8))
    a, b = a.view(np.float32), b.view(np.float32)
    d = within(np.full((16, 8), np.nan, np.float32))
    mma((1,), (32,), (a, b, d))
    np.testing.assert_allclose(d, a.astype(float) @ b, rtol=1e-5, atol=1e-5)


def run_mma_both_ways(mma: Kernel) -> None:
    # Any bits with exponents of both halves near 1: as bfloat16 a pair, as tf32 the first of them.
    bits = np.random.default_rng(0).integers(0, 2**16, (32, 6, 2), np.uint16)
    bits = (bits & 0x80FF | 0x3F00).astype(np.uint16).view(np.uint32)[..., 0]
    a, b = bits[:, :4].copy(), bits[:, 4:].copy()
    d = within(np.full((32, 4, 4), np.nan, np.float32))
    mma((1,), (32,), (a, b, d))
    assert np.abs(d).max() > 1
    np.testing.assert_allclose(d[:, ::2], d[:, 1::2], rtol=1e-5, atol=1e-5)


@dataclass(frozen=True)
class Case:
    """A kernel of a file, and a function that launches it and compares what it gives."""

    file: str
    name: str
    run: Callable[[Kernel], None]
    template: bool = False

    @property
    def kernel_text(self) -> str:
        return source(self.file)

    def kernel(self, settings: Settings, code: str | None = None) -> Kernel:
        """Return the kernel, of the file or of another text."""
        return kernel(code or self.kernel_text, self.name, settings, template=self.template)


CASES = {
    case.name: case
    for case in (
        Case("elementwise", "scale", run_scale),
        Case("reduce", "reduce", run_reduce),
        Case("reduce", "reduce_in_order", run_reduce_in_order),
        Case("sgemm", "sgemm", run_sgemm),
        Case("gemm_mma", GEMM_F16, run_gemm_f16, template=True),
        Case("gemm_mma", GEMM_BF16, run_gemm_bf16, template=True),
        Case("gemm_wgmma", HOPPER_F16, run_hopper_f16, template=True),
        Case("gemm_wgmma", HOPPER_BF16, run_hopper_bf16, template=True),
        Case("gemm_wgmma", HOPPER_TF32, run_hopper_tf32, template=True),
        Case("mma_tf32", "mma_tile", run_mma_tf32),
        Case("mma_fallback", "mma_both_ways", run_mma_both_ways),
    )
}
