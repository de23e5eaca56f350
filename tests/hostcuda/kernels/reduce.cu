// The sum of n floats: by shuffles within a warp, by one warp over the others' sums, and by one
// atomic operation a block.
#include "common.cuh"

DEVICE float warp_sum(float sum) {
  for (int step = 16; step; step /= 2) sum += __shfl_xor_sync(~0u, sum, step);
  return sum;
}

extern "C" __global__ void reduce(const float* x, float* total, int n) {
  __shared__ float sums[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  float sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
    sum += x[i];
  }
  sum = warp_sum(sum);
  if (lane == 0) sums[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    sum = warp_sum(lane < warps ? sums[lane] : 0);
    if (lane == 0) atomicAdd(total, sum);
  }
}

// The same without an order that depends on chance: the last block to end adds up all blocks' sums.
extern "C" __global__ void reduce_in_order(const float* x, float* parts, unsigned* done,
                                           float* total, int n) {
  __shared__ bool is_last;
  float sum = 0;
  for (int i = blockIdx.x * 32 + threadIdx.x; i < n; i += gridDim.x * 32) sum += x[i];
  sum = warp_sum(sum);
  if (threadIdx.x == 0) {
    parts[blockIdx.x] = sum;
    __threadfence();
    is_last = atomicAdd(done, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (is_last && threadIdx.x == 0) {
    sum = 0;
    for (int i = 0; i < gridDim.x; i++) sum += parts[i];
    *total = sum;
  }
}
