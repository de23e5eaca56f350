// Products of a warp by tensor cores and by shuffles, of the same registers: d has for each lane
// the four sums of mma_bf16, of its stand-in, of mma_tf32 and of its stand-in.
#include "common.cuh"

extern "C" __global__ void mma_both_ways(const uint32_t* a, const uint32_t* b, float* d) {
  uint32_t left[4], right[2];
  for (int r = 0; r < 4; r++) left[r] = a[threadIdx.x * 4 + r];
  for (int r = 0; r < 2; r++) right[r] = b[threadIdx.x * 2 + r];
  float sum[4][4] = {};
  mma_bf16(sum[0], left, right);
  mma_by_shuffles<Bf16Pair>(sum[1], left, right);
  mma_tf32(sum[2], left, right);
  mma_by_shuffles<Tf32Single>(sum[3], left, right);
  for (int i = 0; i < 16; i++) d[threadIdx.x * 16 + i] = sum[i / 4][i % 4];
}
