// Greedy suppression of boxes in the order of their scores, by a block.
#pragma once
#include "boxes.cuh"

constexpr int SUPPRESSING = 256;  // threads of the block
constexpr int AT_ONCE = 64;       // boxes that are compared with each other, and then with the rest

struct Suppression {
  float thresh, exponent;  // an exponent of 0: by intersection over union alone

  DEVICE bool operator()(const Box& kept, const Box& box) const {
    float close = iou(box, kept);
    if (exponent != 0) close -= powf(distance(box, kept), exponent);
    return close > thresh;
  }
};

// Bit j, of AT_ONCE: what `is` says of j. All lanes of a warp learn it.
template <class Is>
DEVICE uint64_t ballot(const Is& is) {
  int lane = threadIdx.x % 32;
  unsigned low = __ballot_sync(~0u, is(lane)), high = __ballot_sync(~0u, is(32 + lane));
  return (uint64_t)high << 32 | low;
}

// Move those of `ids` that are kept to the front, and return how many they are.
//
// ids      of boxes in the order of falling scores; all threads see them
// gone     as many, whatever is in them
// box_of   the box of an id
template <class Boxes>
DEVICE int suppress(int* ids, int* gone, int count, const Boxes& box_of, const Suppression& rule) {
  __shared__ Box boxes[AT_ONCE];
  __shared__ uint64_t masks[AT_ONCE];  // bit j: the box suppresses box j
  __shared__ int own[AT_ONCE], kept[AT_ONCE];
  __shared__ int kept_now;
  int thread = threadIdx.x, lane = thread % 32, warp = thread / 32, kept_before = 0;
  for (int i = thread; i < count; i += SUPPRESSING) gone[i] = 0;
  for (int start = 0; start < count; start += AT_ONCE) {
    int size = min(AT_ONCE, count - start);
    __syncthreads();
    if (thread < size) {
      own[thread] = ids[start + thread];
      boxes[thread] = box_of(own[thread]);
    }
    __syncthreads();
    for (int row = warp; row < size; row += SUPPRESSING / 32) {
      uint64_t close = ballot(
          [&](int j) { return row < j && j < size && rule(boxes[row], boxes[min(j, size - 1)]); });
      if (lane == 0) masks[row] = close;
    }
    __syncthreads();
    if (warp == 0) {
      uint64_t left = ballot([&](int j) { return j < size && !gone[start + j]; });
      int found = 0;
      for (int j = 0; j < size; j++) {
        if (!(left >> j & 1)) continue;
        if (lane == 0) kept[found] = j;
        found++;
        left &= ~masks[j];
      }
      if (lane == 0) kept_now = found;
    }
    __syncthreads();
    for (int i = start + AT_ONCE + thread; i < count; i += SUPPRESSING) {
      if (gone[i]) continue;
      Box box = box_of(ids[i]);
      for (int j = 0; j < kept_now; j++) {
        if (!rule(boxes[kept[j]], box)) continue;
        gone[i] = 1;
        break;
      }
    }
    if (thread < kept_now) ids[kept_before + thread] = own[kept[thread]];
    kept_before += kept_now;
  }
  __syncthreads();
  return kept_before;
}
