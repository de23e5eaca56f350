// d (16, 8) = a (16, 8) b (8, 8) by one warp, float32 of which the product takes tf32.
#include "common.cuh"

extern "C" __global__ void mma_tile(const float* a, const float* b, float* d) {
  int group = threadIdx.x / 4, within = threadIdx.x % 4;
  uint32_t left[4], right[2];
  for (int r = 0; r < 4; r++) {
    left[r] = __float_as_uint(a[(group + r % 2 * 8) * 8 + within + r / 2 * 4]);
  }
  for (int r = 0; r < 2; r++) right[r] = __float_as_uint(b[(within + r * 4) * 8 + group]);
  float sum[4] = {};
  mma_tf32(sum, left, right);
  for (int r = 0; r < 4; r++) d[(group + r / 2 * 8) * 8 + within * 2 + r % 2] = sum[r];
}
