"""Bugs planted by one edit each in kernels that are right: check mode finds each, and its line.

Most are silent on a GPU: the result is right there, or wrong only now and then.
"""

import re
from dataclasses import dataclass

import pytest

from . import KernelError, Settings, missing
from .cases import CASES, GEMM_F16

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
        *("reduce_in_order", "    __threadfence();\n", ""),
        *(r"race: reads argument 1 \+ 0, which thread 0 of block 0 wrote", "sum += parts[i]"),
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
