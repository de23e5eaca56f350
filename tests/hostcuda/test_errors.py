"""What a kernel must not do is an error of Python's that names block and thread."""

import numpy as np
import pytest

from . import KernelError, Settings, missing
from .cases import CASES, run

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


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
    "product of a warp": (
        "float d[32]; wgmma_fence(); wgmma_f16(d, wgmma_tile(smem, 0), wgmma_tile(smem, 0));",
        "wgmma_f16: the block is not of whole warpgroups",
    ),
    "tile where no shared memory is": (
        "wgmma_tile(x, 0);",
        "a tile is not in dynamic shared memory",
    ),
    "step between pieces of a tile": (
        "wgmma_tile(smem, 16);",
        "a tile is read from byte 0, 32, 64 or 96 of its rows on, not from 16",
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
    "count that starts without a barrier": (
        "__shared__ int n; if (t == 0) n = 0; atomicAdd(&n, 1); x[0] = 1;",
        r"race: writes shared n \+ 0, which thread 0 of block 0 wrote",
    ),
    "count that is read without a barrier": (
        "__shared__ int n; n = 0; __syncthreads(); atomicAdd(&n, 1); x[t] = n;",
        r"race: (reads|writes) shared n \+ 0",
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


# Eight threads of each of two blocks write; the last block adds up what both wrote.
ADDS_UP = """__shared__ bool is_last;
if (t < 8) x[blockIdx.x * 8 + t] = 1;
{before}
if (t == 0) {{ {first} is_last = atomicAdd((unsigned*)x + 32, 1u) == 1; {then} }}
__syncthreads();
{after}
if (is_last && t < 8) x[16 + t] = x[t] + x[8 + t];"""
ALL_FENCE = {"before": "__threadfence(); __syncthreads();", "first": ""}
FIRST_FENCES = {"before": "__syncthreads();", "first": "__threadfence();"}


@pytest.mark.parametrize("before", [ALL_FENCE, FIRST_FENCES], ids=["all", "first"])
@pytest.mark.parametrize(
    "after",
    [{"then": "", "after": "__threadfence();"}, {"then": "__threadfence();", "after": ""}],
    ids=["all", "first"],
)
def test_the_last_block_sees_what_others_gave_over(before, after):
    x = run(ADDS_UP.format(**before, **after), blocks=2, check=True)
    assert (x[16:24] == 2).all()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("if (t == 8) __threadfence(); __syncthreads();", "__threadfence();"),
        ("__syncthreads(); if (t == 8) __threadfence();", "__threadfence();"),
        ("__threadfence();", "__threadfence();"),
        ("__threadfence(); __syncthreads();", "if (t >= 8) __threadfence();"),
        ("__threadfence(); __syncthreads();", ""),
    ],
    ids=["writers do not", "after the barrier", "no barrier", "readers do not", "nobody after"],
)
def test_fences_of_others_give_nothing_over(before, after):
    body = ADDS_UP.format(before=before, first="", then="", after=after)
    with pytest.raises(KernelError, match=r"race: reads argument 0 \+ \d+, which thread \d"):
        run(body, blocks=2, check=True)


def test_an_atomic_operation_on_shared_memory_tells_other_blocks_nothing():
    body = """__shared__ int n; if (t == 0) n = 0; if (blockIdx.x == 0) x[t] = 1;
    __syncthreads(); __threadfence(); atomicAdd(&n, 1); __threadfence(); __syncthreads();
    if (blockIdx.x == 1) x[t] += 1;"""
    with pytest.raises(KernelError, match=r"race: reads argument 0 \+ \d+, which thread \d+ of b"):
        run(body, blocks=2, check=True)


def test_a_wait_that_is_missing_shows_in_a_lazy_run():
    body = """cp_async16(smem + 16 * t, t % 2 ? x : x + 4, t < 60); cp_async_commit();
    float early = ((float*)smem)[4 * t]; cp_async_wait<0>(); x[t] = early;"""
    assert np.isnan(run(body, shared=1024)).all()
    assert (run(body, shared=1024, eager=True) == 0).all()


def test_sums_of_products_in_flight_are_of_no_use():
    body = """float d[32] = {}; for (int i = t; i < 64 * 32; i += 128) ((float*)smem)[i] = 1;
    fence_async_proxy(); __syncthreads(); wgmma_fence();
    wgmma_tf32(d, wgmma_tile(smem, 0), wgmma_tile(smem, 0)); wgmma_commit();
    float early = d[0]; wgmma_wait<0>(); if (t < 64) x[t] = t % 2 ? early : d[0];"""
    for eager in (False, True):
        x = run(body, threads=128, shared=8192, eager=eager)
        assert np.isnan(x[1::2]).all()
        assert (x[::2] == 8).all()


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
