// What convolve.cu computes, by Hopper's products of warpgroups (sm_90a): of 16 bits.
#include "activations.cuh"
#include "implicit.cuh"
#include "operand.cuh"

constexpr int DEPTH = 8;  // pieces of the sum at a time: rows of 128 bytes
constexpr int BYTES = DEPTH * 16, STEP = 32;  // of a row, and of a product

template <int count>
DEVICE void add_product(Fp16, float (&d)[count], unsigned long long a, unsigned long long b) {
  wgmma_f16(d, a, b);
}
template <int count>
DEVICE void add_product(Bf16, float (&d)[count], unsigned long long a, unsigned long long b) {
  wgmma_bf16(d, a, b);
}

// y = A(x * weights + bias) + residual, for BM pixels by BN filters a block, 64 by BN a warpgroup.
// The arguments are those of `convolve` in convolve.cu.
template <class P, class Out, class A, int BM, int BN, int STAGES>
__global__ void __launch_bounds__(BM * 2, 1)
    convolve_wgmma(const typename P::Type* __restrict__ x,
                   const typename P::Type* __restrict__ weights, const float* __restrict__ bias,
                   const Out* residual, Out* y, float* partials, float* sums, unsigned* arrived,
                   const Geometry g) {
  typedef typename P::Type T;
  constexpr int THREADS = BM * 2, STAGE = (BM + BN) * BYTES, AHEAD = STAGES - 2;
  static_assert(BM % 64 == 0 && AHEAD > 0);
  extern __shared__ __align__(1024) unsigned char smem[];
  const int t = threadIdx.x, lane = t % 32, warp = t / 32;
  const int warpgroup = __shfl_sync(~0u, warp / 4, 0);  // the compiler sees that it is one number
  const int filter_tiles = (g.filters + BN - 1) / BN, group = blockIdx.y / filter_tiles;
  const int first_pixel = blockIdx.x * BM, first_filter = blockIdx.y % filter_tiles * BN;

  const int total = g.y.count * g.x.count * (g.channels / PIECE<T>);
  const int steps = (total + DEPTH - 1) / DEPTH, share = (steps + g.splits - 1) / g.splits;
  const int begin = min((int)blockIdx.z * share, steps), end = min(begin + share, steps);

  Gather<T, DEPTH, BM, BN, THREADS> gather;
  gather.begin(g, x, weights, group, first_pixel, first_filter, begin);
  const int own = swizzled(t / DEPTH, t % DEPTH);
  auto stage_of = [&](int step) { return smem + (unsigned)step % STAGES * STAGE; };
  auto load = [&](int step) {
    gather.load(g, stage_of(step), stage_of(step) + BM * BYTES, own);
  };

  float sum[BN / 2] = {};
#pragma unroll
  for (int i = 0; i < AHEAD; i++) {
    if (begin + i < end) load(begin + i);
    cp_async_commit();
  }
  for (int step = begin; step < end; step++) {
    cp_async_wait<AHEAD - 1>();
    fence_async_proxy();
    __syncthreads();
    const unsigned char* left = stage_of(step) + warpgroup * 64 * BYTES;
    const unsigned char* right = stage_of(step) + BM * BYTES;
    wgmma_fence();
#pragma unroll
    for (int i = 0; i < BYTES; i += STEP) {
      add_product(P(), sum, wgmma_tile(left, i), wgmma_tile(right, i));
    }
    wgmma_commit();
    if (step + AHEAD < end) load(step + AHEAD);  // where the products before the last ones read
    cp_async_commit();
    wgmma_wait<1>();
  }
  wgmma_wait<0>();
  cp_async_wait<0>();
  __syncthreads();

  if (g.splits > 1) {
    bool last = add_splits<BN / 2, THREADS>(sum, sums, arrived, g.splits, (unsigned*)smem);
    if (!last) return;
  }
  float* tile = (float*)smem;
#pragma unroll
  for (int q = 0; q < BN / 2; q += 2) {
    int row = warp * 16 + lane / 4 + q / 2 % 2 * 8, column = q / 4 * 8 + lane % 4 * 2;
    *(float2*)(tile + row * PITCH<BN> + column) = make_float2(sum[q], sum[q + 1]);
  }
  __syncthreads();
  if (partials) {
    write_statistics<BM, BN, THREADS>(tile, tile + BM * PITCH<BN>, partials, g, first_pixel,
                                      first_filter, group);
  }
  write_tile<Out, A, BM, BN, THREADS>(tile, bias, residual, y, g, first_pixel, first_filter, group);
}
