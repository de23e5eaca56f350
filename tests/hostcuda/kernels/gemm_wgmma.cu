// c (m, n) float32 = a (m, k) b (n, k) transposed, float16, bfloat16 or float32 (tf32) by rows: 64
// x COLUMNS of c a warpgroup, two a block, one below the other; 128 bytes of each row at a time,
// copied asynchronously. Rows of a and b are multiples of 16 bytes.
#include "common.cuh"

template <int count>
DEVICE void multiply(float (&d)[count], unsigned long long a, unsigned long long b, half) {
  wgmma_f16(d, a, b);
}
template <int count>
DEVICE void multiply(float (&d)[count], unsigned long long a, unsigned long long b,
                     __nv_bfloat16) {
  wgmma_bf16(d, a, b);
}
template <int count>
DEVICE void multiply(float (&d)[count], unsigned long long a, unsigned long long b, float) {
  wgmma_tf32(d, a, b);
}

constexpr int THREADS = 256, ROWS = 128, BYTES = 128;

template <class T, int COLUMNS, int STAGES>
__global__ void __launch_bounds__(THREADS)
    gemm(const T* __restrict__ a, const T* __restrict__ b, float* __restrict__ c, int m, int n,
         int k) {
  extern __shared__ __align__(1024) unsigned char smem[];
  constexpr int STAGE = (ROWS + COLUMNS) * BYTES, DEPTH = BYTES / sizeof(T);
  constexpr int AHEAD = STAGES - 2;  // products still read the tile before the present one
  int t = threadIdx.x, lane = t % 32, warp = t / 32;
  int first_row = blockIdx.y * ROWS, first_column = blockIdx.x * COLUMNS;
  int tiles = (k + DEPTH - 1) / DEPTH;

  auto stage_of = [&](int tile) { return smem + tile % STAGES * STAGE; };
  auto load_rows = [&](unsigned char* to, const T* from, int first, int rows, int most, int tile) {
    for (int i = t; i < rows * 8; i += THREADS) {
      int row = i / 8, at = tile * DEPTH + i % 8 * (DEPTH / 8);
      bool inside = first + row < most && at < k;
      cp_async16(to + swizzled(row, i % 8), inside ? from + (first + row) * k + at : from, inside);
    }
  };
  auto load = [&](int tile) {
    if (tile < tiles) {
      load_rows(stage_of(tile), a, first_row, ROWS, m, tile);
      load_rows(stage_of(tile) + ROWS * BYTES, b, first_column, COLUMNS, n, tile);
    }
    cp_async_commit();
  };

  float sum[COLUMNS / 2] = {};
  for (int tile = 0; tile < AHEAD; tile++) load(tile);
  for (int tile = 0; tile < tiles; tile++) {
    cp_async_wait<AHEAD - 1>();
    fence_async_proxy();
    __syncthreads();
    load(tile + AHEAD);
    const unsigned char* left = stage_of(tile) + warp / 4 * 64 * BYTES;
    const unsigned char* right = stage_of(tile) + ROWS * BYTES;
    wgmma_fence();
#pragma unroll
    for (int at = 0; at < BYTES; at += 32) {
      multiply(sum, wgmma_tile(left, at), wgmma_tile(right, at), T());
    }
    wgmma_commit();
    wgmma_wait<1>();
  }
  wgmma_wait<0>();
  cp_async_wait<0>();
#pragma unroll
  for (int q = 0; q < COLUMNS / 2; q++) {
    int row = first_row + warp * 16 + lane / 4 + q / 2 % 2 * 8;
    int column = first_column + q / 4 * 8 + lane % 4 * 2 + q % 2;
    if (row < m && column < n) c[row * n + column] = sum[q];
  }
}
