// c (m, n) float32 = a (m, k) b (k, n), float16 or bfloat16 by rows: a warp for each 32 x 32 of c,
// four a block, 32 of k at a time, copied asynchronously STAGES - 1 tiles ahead. k and n are
// multiples of 8.
#include "common.cuh"

constexpr int TILE = 64, DEPTH = 32;

DEVICE void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], half) {
  mma_f16(d, a, b);
}
DEVICE void multiply(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     __nv_bfloat16) {
  mma_bf16(d, a, b);
}

// Rows of 64 and of 128 bytes, in pieces of 16, so turned that eight rows' pieces lie in all banks.
DEVICE int in_a(int row, int piece) { return row * DEPTH + (piece ^ (row / 2 & 3)) * 8; }
DEVICE int in_b(int row, int piece) { return row * TILE + (piece ^ (row & 7)) * 8; }

template <class T, int STAGES>
__global__ void __launch_bounds__(128)
    gemm(const T* __restrict__ a, const T* __restrict__ b, float* __restrict__ c, int m, int n,
         int k) {
  extern __shared__ __align__(1024) unsigned char smem[];
  constexpr int STAGE = 2 * TILE * DEPTH;
  int t = threadIdx.x, lane = t % 32, warp = t / 32;
  int first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
  int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;
  int tiles = (k + DEPTH - 1) / DEPTH;

  auto stage_of = [&](int tile) { return (T*)smem + tile % STAGES * STAGE; };
  auto load = [&](int tile) {
    T* to_a = stage_of(tile);
    T* to_b = to_a + TILE * DEPTH;
    for (int i = t; i < TILE * 4; i += 128) {
      int row = i / 4, ka = tile * DEPTH + i % 4 * 8;
      bool inside = first_row + row < m && ka < k;
      cp_async16(to_a + in_a(row, i % 4), inside ? a + (first_row + row) * k + ka : a, inside);
    }
    for (int i = t; i < DEPTH * 8; i += 128) {
      int row = i / 8, column = first_column + i % 8 * 8, kb = tile * DEPTH + row;
      bool inside = kb < k && column < n;
      cp_async16(to_b + in_b(row, i % 8), inside ? b + kb * n + column : b, inside);
    }
  };

  float sum[2][4][4] = {};
  for (int tile = 0; tile < STAGES - 1; tile++) {
    if (tile < tiles) load(tile);
    cp_async_commit();
  }
  for (int tile = 0; tile < tiles; tile++) {
    cp_async_wait<STAGES - 2>();
    __syncthreads();
    if (tile + STAGES - 1 < tiles) load(tile + STAGES - 1);
    cp_async_commit();
    const T* from_a = stage_of(tile);
    const T* from_b = from_a + TILE * DEPTH;
    for (int step = 0; step < DEPTH / 16; step++) {
      uint32_t left[2][4], right[4][2];
      for (int i = 0; i < 2; i++) {
        ldmatrix_x4(left[i], from_a + in_a(warp_row + i * 16 + lane % 16, step * 2 + lane / 16));
      }
      for (int j = 0; j < 4; j += 2) {
        uint32_t r[4];
        int piece = (warp_column + j * 8) / 8 + lane / 16;
        ldmatrix_x4_trans(r, from_b + in_b(step * 16 + lane % 16, piece));
        right[j][0] = r[0], right[j][1] = r[1], right[j + 1][0] = r[2], right[j + 1][1] = r[3];
      }
      for (int i = 0; i < 2; i++) {
        for (int j = 0; j < 4; j++) multiply(sum[i][j], left[i], right[j], T());
      }
    }
  }
  cp_async_wait<0>();
  for (int i = 0; i < 2; i++) {
    for (int j = 0; j < 4; j++) {
      for (int e = 0; e < 4; e++) {
        int row = first_row + warp_row + i * 16 + lane / 4 + e / 2 * 8;
        int column = first_column + warp_column + j * 8 + lane % 4 * 2 + e % 2;
        if (row < m && column < n) c[row * n + column] = sum[i][j][e];
      }
    }
  }
}

template __global__ void gemm<half, 3>(const half*, const half*, float*, int, int, int);
template __global__ void gemm<__nv_bfloat16, 2>(const __nv_bfloat16*, const __nv_bfloat16*, float*,
                                                int, int, int);
