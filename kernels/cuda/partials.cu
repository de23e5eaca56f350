// Sums of the parts that blocks have computed of a gradient of weights.
#include "common.cuh"

constexpr int CHANNELS = 32, TAPS = 16, STRANDS = 8;

// dw (filters, channels, taps) = the sum over parts (count, filters, taps, padded), in a fixed
// order; or is added to what is there. A block has up to CHANNELS by TAPS of a filter, which it
// reads channel by channel and writes tap by tap; each of `strands` takes every so many-th part.
__global__ void __launch_bounds__(256)
    sum_partials(const float* __restrict__ parts, float* __restrict__ dw, int count, int filters,
                 int channels, int padded, int taps, int strands, int accumulate) {
  __shared__ float sums[STRANDS][CHANNELS * (TAPS + 1)];
  int wide = min(CHANNELS, padded), high = min(TAPS, taps), pitch = high | 1;
  int across = (padded + wide - 1) / wide, down = (taps + high - 1) / high;
  int filter = blockIdx.x / across / down;
  int channel = blockIdx.x % across * wide, tap = blockIdx.x / across % down * high;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, jobs = (wide * high + 31) / 32 * strands;
  size_t size = (size_t)filters * taps * padded;
  for (int job = warp; job < jobs; job += 8) {
    int i = job / strands * 32 + lane, strand = job % strands, c = i % wide, t = i / wide;
    if (t >= high || channel + c >= padded || tap + t >= taps) continue;
    const float* from = parts + ((size_t)filter * taps + tap + t) * padded + channel + c;
    float sum = 0;
#pragma unroll 8
    for (int part = strand; part < count; part += strands) sum += from[part * size];
    sums[strand][c * pitch + t] = sum;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < wide * high; i += 256) {
    int c = i / high, t = i % high;
    if (channel + c >= channels || tap + t >= taps) continue;
    float total = 0;
    for (int strand = 0; strand < strands; strand++) total += sums[strand][c * pitch + t];
    float* to = dw + ((size_t)filter * channels + channel + c) * taps + tap + t;
    *to = accumulate ? *to + total : total;
  }
}
