// What the threads of a block find out together; each in a fixed order, so always the same.
#pragma once
#include "common.cuh"

template <class N>
DEVICE N warp_sum(N sum) {
#pragma unroll
  for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  return sum;
}

// How many threads before this one say true; `total` becomes how many all `threads` of them say.
// counts has a place for each warp, and one more.
template <int threads>
DEVICE int block_scan(bool value, int (&counts)[threads / 32 + 1], int& total) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  unsigned ballot = __ballot_sync(~0u, value);
  __syncthreads();  // counts may be in use
  if (lane == 0) counts[warp] = __popc(ballot);
  __syncthreads();
  int before = __popc(ballot & ((1u << lane) - 1));
  total = 0;
#pragma unroll
  for (int other = 0; other < threads / 32; other++) {
    if (other < warp) before += counts[other];
    total += counts[other];
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
