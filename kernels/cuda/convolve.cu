// Convolution, and the gradient of its input, as a product of matrices: tensor cores by mma.sync.
#include "activations.cuh"
#include "implicit.cuh"
#include "operand.cuh"

constexpr int DEPTH = 4;  // pieces of the sum at a time: rows of 64 bytes

constexpr int ROW = DEPTH * 16;

// Where a piece of a row lies: so turned that the pieces of eight rows lie in all banks.
DEVICE int place(int row, int piece) { return row * ROW + (piece ^ (row / 2 & 3)) * 16; }

// y = A(x * weights + bias) + residual, for BM pixels by BN filters a block, WM by WN a warp.
//   x          the map; weights [filter][tap][channel], padded to pieces, of the same type
//   residual   of y's shape, or null; bias, or null
//   partials   statistics of the sums for each BM pixels (write_statistics), or null
//   sums       for splits of the sum: [tile][split][BM * BN], added up in order by the last block
//              of a tile, which `arrived` counts
template <class P, class Out, class A, int BM, int BN, int WM, int WN, int STAGES>
__global__ void __launch_bounds__(BM / WM * (BN / WN) * 32)
    convolve(const typename P::Type* __restrict__ x, const typename P::Type* __restrict__ weights,
             const float* __restrict__ bias, const Out* residual, Out* y, float* partials,
             float* sums, unsigned* arrived, const Geometry g) {
  typedef typename P::Type T;
  constexpr int THREADS = BM / WM * (BN / WN) * 32, STAGE = (BM + BN) * ROW;
  constexpr int TM = WM / 16, TN = WN / 8;
  static_assert(TN % 2 == 0);
  extern __shared__ __align__(1024) unsigned char smem[];
  const int t = threadIdx.x, lane = t % 32, warp = t / 32;
  const int warp_row = warp / (BN / WN) * WM, warp_column = warp % (BN / WN) * WN;
  const int filter_tiles = (g.filters + BN - 1) / BN, group = blockIdx.y / filter_tiles;
  const int first_pixel = blockIdx.x * BM, first_filter = blockIdx.y % filter_tiles * BN;

  const int total = g.y.count * g.x.count * (g.channels / PIECE<T>);
  const int steps = (total + DEPTH - 1) / DEPTH, share = (steps + g.splits - 1) / g.splits;
  const int begin = min((int)blockIdx.z * share, steps), end = min(begin + share, steps);

  Gather<T, DEPTH, BM, BN, THREADS> gather;
  gather.begin(g, x, weights, group, first_pixel, first_filter, begin);
  const int own = place(t / DEPTH, t % DEPTH);
  auto stage_of = [&](int step) { return smem + (unsigned)step % STAGES * STAGE; };
  auto load = [&](int step) {
    gather.load(g, stage_of(step), stage_of(step) + BM * ROW, own);
  };

  // Fragments' rows of this lane, of the first two pieces; others are 16 rows and 2 pieces apart.
  const int left_own = place(warp_row + lane % 16, lane / 16);
  const int right_own =
      BM * ROW + place(warp_column + lane % 8 + lane / 16 * 8, lane / 8 % 2);
  float sum[TM][TN][4] = {};
#pragma unroll
  for (int i = 0; i < STAGES - 1; i++) {
    if (begin + i < end) load(begin + i);
    cp_async_commit();
  }
  for (int step = begin; step < end; step++) {
    cp_async_wait<STAGES - 2>();
    __syncthreads();
    if (step + STAGES - 1 < end) load(step + STAGES - 1);
    cp_async_commit();
    const unsigned char* stage = stage_of(step);
#pragma unroll
    for (int two = 0; two < DEPTH; two += 2) {
      const unsigned char* from_left = stage + (left_own ^ two * 16);
      const unsigned char* from_right = stage + (right_own ^ two * 16);
      typename P::Left left[TM];
      typename P::Right right[TN];
#pragma unroll
      for (int i = 0; i < TM; i++) {
        uint32_t r[4];
        ldmatrix_x4(r, from_left + i * 16 * ROW);
        left[i] = P::left(r);
      }
#pragma unroll
      for (int j = 0; j < TN; j += 2) {
        uint32_t r[4];
        ldmatrix_x4(r, from_right + j * 8 * ROW);
        right[j] = P::right(r[0], r[1]);
        right[j + 1] = P::right(r[2], r[3]);
      }
#pragma unroll
      for (int i = 0; i < TM; i++) {
#pragma unroll
        for (int j = 0; j < TN; j++) P::multiply(sum[i][j], left[i], right[j]);
      }
    }
  }
  cp_async_wait<0>();
  __syncthreads();

  if (g.splits > 1) {
    auto& flat = *(float(*)[TM * TN * 4]) & sum;
    bool last = add_splits<TM * TN * 4, THREADS>(flat, sums, arrived, g.splits, (unsigned*)smem);
    if (!last) return;
  }

  float* tile = (float*)smem;
#pragma unroll
  for (int i = 0; i < TM; i++) {
#pragma unroll
    for (int j = 0; j < TN; j++) {
      int row = warp_row + i * 16 + lane / 4, column = warp_column + j * 8 + lane % 4 * 2;
      *(float2*)(tile + row * PITCH<BN> + column) = make_float2(sum[i][j][0], sum[i][j][1]);
      *(float2*)(tile + (row + 8) * PITCH<BN> + column) = make_float2(sum[i][j][2], sum[i][j][3]);
    }
  }
  __syncthreads();
  if (partials) {
    write_statistics<BM, BN, THREADS>(tile, tile + BM * PITCH<BN>, partials, g, first_pixel,
                                      first_filter, group);
  }
  write_tile<Out, A, BM, BN, THREADS>(tile, bias, residual, y, g, first_pixel, first_filter, group);
}
