// Maps by columns (columns.py lays out the grid): a thread has one piece of many pixels, so that it
// loads once what belongs to channels, and keeps sums over pixels.
#pragma once
#include "elements.cuh"

// Thread (x, y) of block (x, y, z) has a piece of every blockDim.y-th pixel of a slice of the z-th
// part of all pixels; `pixels` are those of a part.
struct Columns {
  int pixels, pieces, channels, slice;

  DEVICE int piece() const { return blockIdx.x * blockDim.x + threadIdx.x; }
  DEVICE int begin() const { return blockIdx.z * pixels + blockIdx.y * slice + threadIdx.y; }
  DEVICE int end() const {
    return blockIdx.z * pixels + min(pixels, ((int)blockIdx.y + 1) * slice);
  }
};

// The numbers of a piece of channels in a vector (channels,): zeros for channels there are not.
template <int COUNT>
DEVICE void load_vector(float (&to)[COUNT], const float* from, int first, int channels) {
  if (first + COUNT <= channels && (unsigned long long)(from + first) % 16 == 0) {
#pragma unroll
    for (int j = 0; j < COUNT; j += 4) {
      uint4 bits = load16(from + first + j);
      to[j] = __uint_as_float(bits.x), to[j + 1] = __uint_as_float(bits.y);
      to[j + 2] = __uint_as_float(bits.z), to[j + 3] = __uint_as_float(bits.w);
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < COUNT; j++) to[j] = first + j < channels ? from[first + j] : 0.f;
}

// What is known of some of a channel's numbers: K sums of them.
template <int K>
struct Sums {
  static constexpr int count = K;
  float at[K];

  DEVICE void merge(const Sums& other) {
#pragma unroll
    for (int k = 0; k < K; k++) at[k] += other.at[k];
  }
};

// How many they are, their mean, and the sum of squared deviations from it.
struct Moments {
  static constexpr int count = 3;
  float at[3];

  // Chan, Golub and LeVeque 1979, "Updating formulae and a pairwise algorithm": accurate also where
  // the mean is far larger than the deviations.
  DEVICE void merge(const Moments& other) {
    float total = at[0] + other.at[0];
    float share = total > 0.f ? other.at[0] / total : 0.f;
    float delta = other.at[1] - at[1];
    at[2] += other.at[2] + delta * delta * at[0] * share;
    at[1] += delta * share;
    at[0] = total;
  }
};

// Merge what all threads (x, ...) of a block know, in an order that is fixed; thread (x, 0) has it.
template <class State, int COUNT>
DEVICE void merge_rows(State (&states)[COUNT]) {
  __shared__ State shared[COUNT][256];
  int thread = threadIdx.y * blockDim.x + threadIdx.x;
  for (int rows = blockDim.y / 2; rows > 0; rows /= 2) {
    if (threadIdx.y >= rows && threadIdx.y < 2 * rows) {
#pragma unroll
      for (int j = 0; j < COUNT; j++) shared[j][thread] = states[j];
    }
    __syncthreads();
    if (threadIdx.y < rows) {
#pragma unroll
      for (int j = 0; j < COUNT; j++) states[j].merge(shared[j][thread + rows * blockDim.x]);
    }
  }
  __syncthreads();
}

// Merge what all threads of a column of a part know; true for the threads (x, 0) of one block,
// which have it. The last block to end does so, with the others' states in `partials` (parts,
// slices, State::count, COUNT, lanes of all columns); `done` has a counter a column of each part.
template <class State, int COUNT>
DEVICE bool merge_slices(State (&states)[COUNT], float* partials, unsigned* done) {
  merge_rows(states);
  if (gridDim.y == 1) return threadIdx.y == 0;
  int lanes = gridDim.x * blockDim.x, lane = blockIdx.x * blockDim.x + threadIdx.x;
  int part = blockIdx.z * gridDim.y;
  auto place = [&](int slice, int k, int j) -> float& {
    return partials[(((part + slice) * State::count + k) * COUNT + j) * lanes + lane];
  };
  if (threadIdx.y == 0) {
#pragma unroll
    for (int k = 0; k < State::count; k++) {
#pragma unroll
      for (int j = 0; j < COUNT; j++) place(blockIdx.y, k, j) = states[j].at[k];
    }
  }
  __shared__ bool is_last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    unsigned* counter = done + blockIdx.z * gridDim.x + blockIdx.x;
    is_last = atomicAdd(counter, 1u) == gridDim.y - 1;
    if (is_last) atomicExch(counter, 0u);
  }
  __syncthreads();
  if (!is_last) return false;
  __threadfence();
#pragma unroll
  for (int j = 0; j < COUNT; j++) states[j] = State();
  for (int slice = threadIdx.y; slice < gridDim.y; slice += blockDim.y) {
#pragma unroll
    for (int j = 0; j < COUNT; j++) {
      State other;
#pragma unroll
      for (int k = 0; k < State::count; k++) other.at[k] = place(slice, k, j);
      states[j].merge(other);
    }
  }
  merge_rows(states);
  return threadIdx.y == 0;
}
