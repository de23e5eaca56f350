// c (m, n) = a (m, k) b (k, n), float32 by rows: tiles of 32 x 32, 64 threads with 4 x 4 sums each.
#include "common.cuh"

extern "C" __global__ void __launch_bounds__(64)
    sgemm(const float* __restrict__ a, const float* __restrict__ b, float* __restrict__ c, int m,
          int n, int k) {
  __shared__ __align__(16) float tile_a[8][32 + 4], tile_b[8][32];
  int t = threadIdx.x, row = t / 8 * 4, column = t % 8 * 4;
  int first_row = blockIdx.y * 32, first_column = blockIdx.x * 32;
  float sum[4][4] = {};
  for (int k0 = 0; k0 < k; k0 += 8) {
    for (int i = t; i < 8 * 32; i += 64) {
      int r = first_row + i / 8, ka = k0 + i % 8;
      tile_a[i % 8][i / 8] = r < m && ka < k ? a[r * k + ka] : 0;
      int kb = k0 + i / 32, col = first_column + i % 32;
      tile_b[i / 32][i % 32] = kb < k && col < n ? b[kb * n + col] : 0;
    }
    __syncthreads();
    for (int i = 0; i < 8; i++) {
      float4 left = *(const float4*)&tile_a[i][row], right = *(const float4*)&tile_b[i][column];
      float l[4] = {left.x, left.y, left.z, left.w}, r[4] = {right.x, right.y, right.z, right.w};
      for (int p = 0; p < 4; p++) {
        for (int q = 0; q < 4; q++) sum[p][q] += l[p] * r[q];
      }
    }
    __syncthreads();
  }
  for (int p = 0; p < 4; p++) {
    for (int q = 0; q < 4; q++) {
      int r = first_row + row + p, col = first_column + column + q;
      if (r < m && col < n) c[r * n + col] = sum[p][q];
    }
  }
}
