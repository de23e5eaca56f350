"""Bugs planted by one edit each in kernels that are right: check mode finds each, and its line.

Most are silent on a GPU: the result is right there, or wrong only now and then.
"""

import re
from dataclasses import dataclass

import pytest

from . import KernelError, Settings, missing
from .cases import CASES, GEMM_F16, HOPPER_F16

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


@dataclass(frozen=True)
class Bug:
    """An edit of a kernel, the message it must lead to, and part of the line to be named."""

    kernel: str
    old: str
    new: str
    message: str
    line: str = ""


BUGS = {
    "step that overflows": Bug(
        *("scale", "i += step", "i += 0x7FFFFFFF"),
        *("integer overflow in an addition", "i += 0x7FFFFFFF"),
    ),
    "two threads write one element": Bug(
        *("scale", "y[i] =", "y[i / 2] ="),
        r"race: writes argument 1 \+ 0, which thread 0 of block 0 wrote",
        "y[i / 2] =",
    ),
    "one element too many": Bug(
        *("scale", "i < n", "i <= n"),
        *("out of bounds: reads 4 bytes, 0 bytes past the end of argument 0", "scale * x[i]"),
    ),
    "one element too early": Bug(
        *("scale", "x[i]", "x[i - 1]"),
        *("out of bounds: reads 4 bytes, 4 bytes before argument 0", "x[i - 1]"),
    ),
    "no barrier before shared sums are read": Bug(
        *("reduce", "  __syncthreads();\n  if (warp == 0) {", "  if (warp == 0) {"),
        *(r"reads shared sums \+ 4, which nobody wrote", "warp_sum(lane < warps"),
    ),
    "a sum too many": Bug(
        *("reduce", "lane < warps", "lane <= warps"),
        *(r"reads shared sums \+ 32, which nobody wrote", "lane <= warps"),
    ),
    "shared array too short": Bug(
        *("reduce", "sums[32]", "sums[4]"),
        *("index out of the bounds of an array", "sums[warp] = sum"),
    ),
    "shuffle that some lanes skip": Bug(
        *("reduce", "if (warp == 0) {", "if (threadIdx.x < warps) {"),
        "deadlock: 8 threads wait in warp operations, .*__shfl_xor_sync",
    ),
    "barrier that some threads skip": Bug(
        *(
            "reduce",
            "  __syncthreads();\n  if (warp == 0) {",
            "  if (warp == 0) { __syncthreads();",
        ),
        "224 of 256 threads returned without the __syncthreads that 32 wait in",
    ),
    "blocks that add without an atomic": Bug(
        *("reduce", "atomicAdd(total, sum)", "*total += sum"),
        r"race: reads argument 1 \+ 0, which thread 0 of block 0 wrote",
        "*total += sum",
    ),
    "no fence before the count of blocks": Bug(
        *("reduce_in_order", "= sum;\n    __threadfence();\n", "= sum;\n"),
        *(r"race: reads argument 1 \+ 0, which thread 0 of block 0 wrote", "sum += parts[i]"),
    ),
    "fence before what it is to give over": Bug(
        "reduce_in_order",
        "    parts[blockIdx.x] = sum;\n    __threadfence();\n",
        "    __threadfence();\n    parts[blockIdx.x] = sum;\n",
        *(r"race: reads argument 1 \+ 0, which thread 0 of block 0 wrote", "sum += parts[i]"),
    ),
    "no fence after the count of blocks": Bug(
        *("reduce_in_order", "- 1;\n    __threadfence();\n", "- 1;\n"),
        *(r"race: reads argument 1 \+ 0, which thread 0 of block 0 wrote", "sum += parts[i]"),
    ),
    "sums of other blocks that a compiler may have read before": Bug(
        *("reduce_in_order", "float* parts", "float* __restrict__ parts"),
        *(r"argument 1 \+ 0 goes from thread to thread and is __restrict__", "sum += parts[i]"),
    ),
    "no barrier after the tiles are written": Bug(
        *("sgemm", "    __syncthreads();\n    for (int i = 0; i < 8", "    for (int i = 0; i < 8"),
        *(r"reads shared tile_a \+ \d+, which nobody wrote", "float4 left"),
    ),
    "no barrier before tiles are written anew": Bug(
        *("sgemm", "    }\n    __syncthreads();\n  }", "    }\n  }"),
        r"race: reads shared tile_a \+ 0, which thread 0 of block 0 wrote",
        "tile_",
    ),
    "rows of shared memory that break float4": Bug(
        *("sgemm", "[32 + 4]", "[32 + 2]"),
        *("misaligned", "float4 left"),
    ),
    "a row too many written": Bug(
        *("sgemm", "r < m && col < n) c", "r <= m && col < n) c"),
        *("out of bounds: writes 4 bytes, 0 bytes past the end of argument 2", "c[r * n + col]"),
    ),
    "a column too many read, times zero": Bug(
        *("sgemm", "ka < k ?", "ka <= k ?"),
        *("out of bounds: reads 4 bytes, 0 bytes past the end of argument 0", "a[r * k + ka]"),
    ),
    "wait for a group too few": Bug(
        *(GEMM_F16, "cp_async_wait<STAGES - 2>", "cp_async_wait<STAGES - 1>"),
        r"dynamic shared memory \+ \d+ is still written by an asynchronous copy",
        "ldmatrix_x4(left[i]",
    ),
    "no commit of copies": Bug(
        *(GEMM_F16, "tile + STAGES - 1);\n    cp_async_commit();", "tile + STAGES - 1);"),
        r"dynamic shared memory \+ \d+ is still written by an asynchronous copy",
        "ldmatrix_x4(left[i]",
    ),
    "no barrier after the wait": Bug(
        *(GEMM_F16, "2>();\n    __syncthreads();", "2>();"),
        r"dynamic shared memory \+ \d+",
        "ldmatrix_x4(left[i]",
    ),
    "copy a tile too far ahead": Bug(
        *(GEMM_F16, "load(tile + STAGES - 1);", "load(tile + STAGES);"),
        r"dynamic shared memory \+ \d+",
    ),
    "a row for ldmatrix between pieces": Bug(
        *(GEMM_F16, "(row / 2 & 3)) * 8", "(row / 2 & 3)) * 4"),
        *("misaligned: the destination of cp_async16 needs 16 bytes", "cp_async16(to_a"),
    ),
    "pieces past the end of a row, times zero": Bug(
        *(GEMM_F16, "ka < k;", "ka <= k;"),
        *("out of bounds: reads 16 bytes, 0 bytes past the end of argument 0", "cp_async16(to_a"),
    ),
    "no fence before the tensor cores read what threads wrote": Bug(
        *(HOPPER_F16, "    fence_async_proxy();\n", ""),
        r"a product reads dynamic shared memory \+ \d+, which thread \d+ wrote with no fence_async",
        "wgmma_f16(d, a, b)",
    ),
    "fence before the wait for what it is to give over": Bug(
        *(HOPPER_F16, "    cp_async_wait<AHEAD - 1>();\n    fence_async_proxy();\n", ""),
        r"a product reads|is still written by an asynchronous copy",
        "wgmma_f16(d, a, b)",
    ),
    "copy into tiles that products in flight read": Bug(
        *(HOPPER_F16, "AHEAD = STAGES - 2", "AHEAD = STAGES - 1"),
        r"writes dynamic shared memory \+ \d+, which a product in flight reads",
        "cp_async16(to + swizzled",
    ),
    "no barrier before products": Bug(
        *(HOPPER_F16, "    __syncthreads();\n    load(", "    load("),
        r"reads dynamic shared memory \+ \d+, which nobody wrote|still written|race",
        "wgmma_f16(d, a, b)",
    ),
    "registers given to products without a fence": Bug(
        *(HOPPER_F16, "    wgmma_fence();\n", ""),
        *(
            "registers of a product come from elsewhere; wgmma_fence is missing",
            "wgmma_f16(d, a, b)",
        ),
    ),
    "sums changed while products are in flight": Bug(
        *(HOPPER_F16, "    wgmma_wait<1>();", "    sum[3] = 0;\n    wgmma_wait<1>();"),
        *("the registers of a product in flight were written", "wgmma_f16(d, a, b)"),
    ),
    "no wait for the last products": Bug(
        *(HOPPER_F16, "  wgmma_wait<0>();\n", ""),
        r"returned with products in flight; wgmma_wait<0>\(\) is missing",
    ),
    "products that are never committed": Bug(
        *(HOPPER_F16, "    wgmma_commit();\n", ""),
        "a product in flight reads|returned with products in flight",
    ),
    "tiles between the rows they are turned by": Bug(
        *(HOPPER_F16, "left = stage_of(tile)", "left = stage_of(tile) + 512"),
        *(
            "misaligned: a tile begins at a multiple of 1024 bytes",
            "multiply(sum, wgmma_tile(left, at)",
        ),
    ),
    "another part of the tile in one warp": Bug(
        *(HOPPER_F16, "warp / 4 * 64 * BYTES", "warp / 2 * 64 % 128 * BYTES"),
        *("the warps of a warpgroup issue different products", "wgmma_f16(d, a, b)"),
    ),
    "product that half a warp skips": Bug(
        *(GEMM_F16, "j++) multiply(", "j++) if (lane < 16) multiply("),
        "deadlock: .* wait in warp operations|lanes of the warp diverged",
    ),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_bug_is_found(bug):
    case = CASES[bug.kernel]
    edited = case.kernel_text.replace(bug.old, bug.new)
    assert edited != case.kernel_text
    with pytest.raises(KernelError) as caught:
        case.run(case.kernel(Settings(check=True), edited))
    said = str(caught.value)
    assert re.search(bug.message, said)
    assert bug.line in said
    assert not bug.line or re.search(r"kernel\.cu:\d+: ", said)
