"""What the built-ins of CUDA C++ mean: barriers, votes, shuffles, atomics, 16-bit numbers."""

import numpy as np
import pytest

from . import RawModule, missing
from .cases import run

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

ORDERS = ("forward", "reverse", "random")
T = np.arange(64)


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


@pytest.mark.parametrize(
    ("call", "source"),
    [
        ("__shfl_sync(~0u, t, 5)", T // 32 * 32 + 5),
        ("__shfl_sync(~0u, t, 11, 8)", T // 8 * 8 + 3),
        ("__shfl_up_sync(~0u, t, 3)", np.where(T % 32 < 3, T, T - 3)),
        ("__shfl_up_sync(~0u, t, 3, 8)", np.where(T % 8 < 3, T, T - 3)),
        ("__shfl_down_sync(~0u, t, 3)", np.where(T % 32 > 28, T, T + 3)),
        ("__shfl_down_sync(~0u, t, 3, 16)", np.where(T % 16 > 12, T, T + 3)),
        ("__shfl_xor_sync(~0u, (double)t, 17)", T ^ 17),
        ("__shfl_xor_sync(~0u, t, 5, 4)", np.where(T % 8 < 4, T, T ^ 5)),
    ],
)
def test_shuffles_read_the_lane_they_say(call, source):
    for order in ORDERS:
        np.testing.assert_array_equal(run(f"x[t] = {call};", order=order), source)


def test_atomics_return_what_was_there():
    body = """__shared__ int n; __shared__ unsigned m; if (t == 0) n = m = 0; __syncthreads();
    int mine = atomicAdd(&n, 1); atomicMax(&m, (unsigned)t); __syncthreads();
    x[mine] = n + m; __syncthreads();
    if (t == 0) { int old = atomicCAS(&n, 64, 7); x[0] += 1000 * old + 100000 * n; }"""
    for order in ORDERS:
        expected = np.full(64, 64 + 63) + np.where(T == 0, 1000 * 64 + 100000 * 7, 0)
        np.testing.assert_array_equal(run(body, order=order, check=True), expected)


def test_16_bit_numbers_are_those_of_numpy():
    code = """extern "C" __global__ void k(const half* h, float* f, half* back, const float* x,
                                 half* rounded, unsigned short* bfloat) {
      int i = blockIdx.x * blockDim.x + threadIdx.x;
      f[i] = __half2float(h[i]);
      back[i] = __float2half(f[i]);
      rounded[i] = __float2half_rn(x[i]);
      __nv_bfloat16 b = __float2bfloat16(x[i]);
      bfloat[i] = b.bits;
    }"""
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    exact, back, rounded = np.empty(1 << 16, np.float32), every.copy(), every.copy()
    x = np.random.default_rng(0).standard_normal(1 << 16, np.float32) * np.float32(100)
    bfloat = np.empty(1 << 16, np.uint16)
    arrays = (every, exact, back, x, rounded, bfloat)
    RawModule(code).get_function("k")((256,), (256,), arrays)
    np.testing.assert_array_equal(exact, every.astype(np.float32))
    np.testing.assert_array_equal(back, every)
    np.testing.assert_array_equal(rounded, x.astype(np.float16))
    near = (bfloat.astype(np.uint32) << 16).view(np.float32)
    assert np.all(np.abs(near - x) <= np.abs(x) * np.float32(2**-8))
