"""What accesses cost is counted as the hardware's manual says, for patterns counted by hand."""

import numpy as np
import pytest

from . import RawModule, Settings, missing
from .cases import CASES, GEMM_F16

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

COUNT = Settings(check=True, statistics=True)


def traffic(statement: str) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    """Return requests, lanes, cost and ideal of a line that 32 threads run, by space and kind."""
    code = f"""
extern "C" __global__ void k(float* x) {{
  __shared__ __align__(16) float s[32 * 33];
  int t = threadIdx.x;
  for (int i = t; i < 32 * 33; i += 32) s[i] = 0;
  __syncthreads();
  {statement}
  __syncthreads();
  if (x[0] < 0) x[t] = s[t];  // or what was written there would be left out
}}"""
    buffer = np.zeros(32 * 33 + 32, np.float32)
    x = buffer[-buffer.ctypes.data // 4 % 32 :][: 32 * 33]  # at a multiple of 128 bytes
    kernel = RawModule(code, settings=COUNT).get_function("k")
    kernel((1,), (32,), (x,))
    rows = [row for row in kernel.traffic() if row.line.startswith("kernel.cu:7:")]
    return {(r.space, r.kind): (r.requests, r.lanes, r.cost, r.ideal) for r in rows}


@pytest.mark.parametrize(
    ("statement", "space", "kind", "expected"),
    [
        ("x[t] = 1;", "global", "write", (1, 32, 4, 4)),
        ("x[2 * t] = 1;", "global", "write", (1, 32, 8, 4)),
        ("x[8 * t] = 1;", "global", "write", (1, 32, 32, 4)),
        ("x[t + 1] = 1;", "global", "write", (1, 32, 5, 4)),
        ("if (t < 8) x[t] = 1;", "global", "write", (1, 8, 1, 1)),
        ("s[t] = x[0];", "global", "read", (1, 32, 1, 1)),
        ("s[t] = 1;", "shared", "write", (1, 32, 1, 1)),
        ("s[2 * t] = 1;", "shared", "write", (1, 32, 2, 1)),
        ("s[32 * t] = 1;", "shared", "write", (1, 32, 32, 1)),
        ("s[33 * t] = 1;", "shared", "write", (1, 32, 1, 1)),
        ("x[t] = s[0];", "shared", "read", (1, 32, 1, 1)),
        ("((float4*)s)[t] = make_float4(0, 0, 0, 0);", "shared", "write", (1, 32, 4, 4)),
        ("((float4*)s)[2 * t] = make_float4(0, 0, 0, 0);", "shared", "write", (1, 32, 8, 4)),
        ("for (int i = 0; i < 3; i++) s[t] = i;", "shared", "write", (3, 96, 3, 3)),
    ],
)
def test_cost_of_a_pattern(statement, space, kind, expected):
    assert traffic(statement)[space, kind] == expected


def test_swizzled_tiles_have_no_bank_conflicts():
    case = CASES[GEMM_F16]
    gemm = case.kernel(COUNT)
    case.run(gemm)
    shared = [row for row in gemm.traffic() if row.space == "shared"]
    assert {row.kind for row in shared} == {"read", "write"}
    assert all(row.cost == row.ideal for row in shared)


def test_tiles_without_a_swizzle_have_conflicts():
    case = CASES[GEMM_F16]
    gemm = case.kernel(COUNT, case.kernel_text.replace("(piece ^ (row & 7))", "piece"))
    case.run(gemm)
    (loads,) = [row for row in gemm.traffic() if "ldmatrix_x4_trans(" in row.line]
    assert loads.cost == 8 * loads.ideal


def test_statistics_need_checks():
    with pytest.raises(ValueError, match="check=True"):
        Settings(statistics=True)
