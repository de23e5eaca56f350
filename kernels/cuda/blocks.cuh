// What the threads of a block find out together; each in a fixed order, so always the same.
#pragma once
#include "common.cuh"

template <class N>
DEVICE N warp_sum(N sum) {
#pragma unroll
  for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  return sum;
}

// The sum of the values of the threads before this one; `total` becomes that of all `threads`.
// warps has a place for each warp.
template <int threads>
DEVICE int block_scan(int value, int (&warps)[threads / 32], int& total) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, sum = value;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    int below = __shfl_up_sync(~0u, sum, step);
    if (lane >= step) sum += below;
  }
  __syncthreads();  // warps may be in use
  if (lane == 31) warps[warp] = sum;
  __syncthreads();
  int before = sum - value;
  total = 0;
#pragma unroll
  for (int other = 0; other < threads / 32; other++) {
    if (other < warp) before += warps[other];
    total += warps[other];
  }
  return before;
}

// Whether this block is the last of `blocks` that come here; what the others wrote before is seen
// then. The counter, which is 0 before, is 0 again.
DEVICE bool is_last_block(unsigned* counter, int blocks) {
  __shared__ bool is_last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    is_last = atomicAdd(counter, 1u) == (unsigned)blocks - 1;
    if (is_last) *counter = 0;
  }
  __syncthreads();
  __threadfence();
  return is_last;
}
