"""What a kernel must not do is an error of Python's that names block and thread."""

import numpy as np
import pytest

from . import KernelError, RawModule, Settings, missing
from .cases import CASES, INCLUDE

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


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


FAILS_ALWAYS = {
    "barrier in a branch": (
        "if (t < 40) __syncthreads();",
        r"block \(0, 0, 0\) thread \(.*\): 24 of 64 threads returned without the __syncthreads",
    ),
    "lanes in different operations": (
        "if (t % 2) __syncwarp(); else x[t] = __shfl_sync(~0u, 1.f, 0);",
        "lanes of the warp diverged, others wait in",
    ),
    "a lane's own mask lacks it": (
        "x[t] = __ballot_sync(1u, 1);",
        "__ballot_sync: lane 1 is not in its own mask 00000001",
    ),
    "shuffle from a lane outside the mask": (
        "if (t % 32 < 16) x[t] = __shfl_sync(0xFFFFu, 1.f, 20);",
        "__shfl_sync: reads lane 20, which is not in the mask 0000ffff",
    ),
    "copies in flight at the end": (
        "cp_async16(smem + 16 * t, x, true); cp_async_commit();",
        r"returned with asynchronous copies in flight; cp_async_wait<0>\(\) is missing",
    ),
    "copy to where no shared memory is": (
        "cp_async16(x, x, true); cp_async_commit(); cp_async_wait<0>();",
        "the destination of cp_async16 is not shared memory",
    ),
    "load16 at an odd place": (
        "x[t] = load16(x + 1).x;",
        "misaligned: load16 needs 16 bytes",
    ),
    "wild pointer": (
        "*(float*)(uintptr_t)16 = 1;",
        "segmentation fault|null|out of bounds",
    ),
}


@pytest.mark.parametrize("check", [False, True], ids=["fast", "checked"])
@pytest.mark.parametrize(("body", "message"), FAILS_ALWAYS.values(), ids=FAILS_ALWAYS)
def test_error_in_both_modes(body, message, check):
    with pytest.raises(KernelError, match=message):
        run(body, shared=1024, check=check)


FAILS_CHECKED = {
    "no __syncwarp between lanes": (
        "__shared__ float s[64]; s[t] = 1; __shfl_sync(~0u, t, 0); x[t] = s[t ^ 1];",
        r"reads shared s \+ \d+, which nobody wrote|race: reads shared s",
    ),
    "shared memory that nobody wrote": (
        "__shared__ float s[64]; if (t) s[t] = 1; __syncthreads(); x[t] = s[t];",
        r"reads shared s \+ 0, which nobody wrote",
    ),
    "more shared memory than was asked for": (
        "((float*)smem)[t] = 1;",
        "out of bounds: writes 4 bytes, 0 bytes past the end of dynamic shared memory",
    ),
    "shared memory of another block": (
        "__shared__ float s; if (blockIdx.x + t == 0) s = 1; if (t == 0) x[blockIdx.x] = s;",
        r"block \(1, 0, 0\) thread \(0, 0, 0\): reads shared s \+ 0, which nobody wrote",
    ),
    "product of two ints": (
        "int n = 50000 + t; x[t] = n * n;",
        "integer overflow in a product",
    ),
    "float4 at an odd place": (
        "*(float4*)(x + 1) = make_float4(1, 1, 1, 1);",
        "misaligned",
    ),
    "null pointer": ("float* p = t < 64 ? nullptr : x; *p = 1;", "null pointer"),
}


@pytest.mark.parametrize(("body", "message"), FAILS_CHECKED.values(), ids=FAILS_CHECKED)
def test_error_in_check_mode(body, message):
    with pytest.raises(KernelError, match=message):
        run(body, shared=128, blocks=2, check=True)


def test_syncwarp_orders_a_warp_and_barriers_a_block():
    body = """__shared__ float s[64];
    s[t] = t; __syncwarp(); float near = s[t ^ 1];
    __syncwarp(); s[t ^ 2] = near; __syncthreads(); x[t] = s[63 - t];"""
    for order in ("forward", "reverse", "random"):
        t = 63 - np.arange(64)
        np.testing.assert_array_equal(run(body, order=order, check=True), t ^ 3)


def test_halves_of_a_warp_may_part():
    body = """unsigned half_mask = t % 32 < 16 ? 0xFFFFu : 0xFFFF0000u;
    float sum = t;
    for (int step = 8; step; step /= 2) sum += __shfl_xor_sync(half_mask, sum, step);
    if (t % 32 < 16) sum = __shfl_sync(half_mask, sum, 3);
    x[t] = __shfl_up_sync(~0u, sum, 16);"""
    sums = np.arange(64).reshape(4, 16).sum(1)
    expected = np.repeat([sums[0], sums[0], sums[2], sums[2]], 16)
    for order in ("forward", "reverse", "random"):
        np.testing.assert_array_equal(run(body, order=order), expected)


def test_votes_of_warp_and_block():
    body = """int n = __syncthreads_count(t < 5), some = __syncthreads_or(t == 63);
    int all = __syncthreads_and(t < 63);
    x[t] = n + 100 * some + 1000 * all + 10000 * __any_sync(~0u, t == 40)
         + 100000 * __all_sync(~0u, t < 40) + 1000000 * (__ballot_sync(~0u, t % 32 == 1) == 2u);"""
    expected = np.repeat([1100105, 1010105], 32)
    np.testing.assert_array_equal(run(body), expected)


def test_a_wait_that_is_missing_shows_in_a_lazy_run():
    body = """cp_async16(smem + 16 * t, t % 2 ? x : x + 4, t < 60); cp_async_commit();
    float early = ((float*)smem)[4 * t]; cp_async_wait<0>(); x[t] = early;"""
    assert np.isnan(run(body, shared=1024)).all()
    assert (run(body, shared=1024, eager=True) == 0).all()


def test_a_result_that_depends_on_the_order_differs():
    body = "__shared__ float s; s = t; __syncthreads(); x[t] = s;"
    assert run(body, order="forward")[0] == 63
    assert run(body, order="reverse")[0] == 0
    assert run(body, order="random", seed=1)[0] == run(body, order="random", seed=1)[0]


def test_a_module_runs_on_after_an_error():
    with pytest.raises(KernelError):
        run("if (t < 40) __syncthreads(); x[t] = 1;")
    case = CASES["reduce"]
    case.run(case.kernel(Settings()))
