// Weights that are made of others, or of nothing.
#include "blocks.cuh"

// y: the signs of a filter's `count` weights, times the mean of their magnitudes. A block a filter.
__global__ void __launch_bounds__(256)
    binarize_weights(const float* __restrict__ w, float* __restrict__ y, int count) {
  __shared__ float sums[8];
  size_t first = (size_t)blockIdx.x * count;
  float sum = 0;
  for (int i = threadIdx.x; i < count; i += 256) sum += fabsf(w[first + i]);
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  float mean = 0;
#pragma unroll
  for (int warp = 0; warp < 8; warp++) mean += sums[warp];
  mean /= count;
  for (int i = threadIdx.x; i < count; i += 256) y[first + i] = w[first + i] > 0 ? mean : -mean;
}

// y (channels, 1, size, size): the product of 1 2 1, or of 1 1, with itself, over its sum.
__global__ void __launch_bounds__(256) blur_kernel(float* __restrict__ y, int size, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int row = i / size % size, column = i % size, sum = 1 << size - 1;
  y[i] = (float)((1 + row % 2 * (size - 2)) * (1 + column % 2 * (size - 2))) / (sum * sum);
}
