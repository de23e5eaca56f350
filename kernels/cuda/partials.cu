// Sums of the parts that blocks have computed of a gradient of weights.
#include "common.cuh"

// dw (filters, channels, taps) = the sum over parts (count, filters, taps, padded), in their
// order; or is added to what is there.
__global__ void __launch_bounds__(256)
    sum_partials(const float* __restrict__ parts, float* __restrict__ dw, int count, int filters,
                 int channels, int padded, int taps, int accumulate) {
  int size = filters * taps * padded;
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= size) return;
  int channel = i % padded, tap = i / padded % taps, filter = i / padded / taps;
  if (channel >= channels) return;
  float total = 0;
#pragma unroll 4
  for (int part = 0; part < count; part++) total += parts[(size_t)part * size + i];
  int to = (filter * channels + channel) * taps + tap;
  dw[to] = accumulate ? dw[to] + total : total;
}
