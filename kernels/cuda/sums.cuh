// Figures of a loss: summed by each block for its things, and by the last block for all.
#pragma once
#include "blocks.cuh"

// What a gradient is multiplied by on its way to float16, if that is in device memory.
DEVICE float factor_of(const float* factor) { return factor ? *factor : 1.f; }

// Write the sums of `sums` rows of numbers of a block, row by row, behind those of other blocks.
template <int sums, int threads>
DEVICE void add_up(const float (&numbers)[sums][threads], int block, float* partial) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  __syncthreads();
  for (int row = warp; row < sums; row += threads / 32) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < threads; i += 32) sum += numbers[row][i + lane];
    sum = warp_sum(sum);
    if (lane == 0) partial[block * sums + row] = sum;
  }
}

// Let the last of `blocks` blocks write the sums of all, the first `wanted` of them.
template <int sums, int threads>
DEVICE void add_blocks(const float* partial, int blocks, unsigned* counter, float* figures,
                       int wanted) {
  if (!is_last_block(counter, blocks)) return;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int row = warp; row < wanted; row += threads / 32) {
    double sum = 0;
    for (int i = lane; i < blocks; i += 32) sum += partial[i * sums + row];
    sum = warp_sum(sum);
    if (lane == 0) figures[row] = (float)sum;
  }
}
