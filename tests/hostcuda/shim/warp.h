// What the lanes of a warp do together: __syncwarp, shuffles, votes.
#pragma once
#include "threads.h"

namespace hostcuda {
enum class Shuffle { index, up, down, exclusive_or };

void sync_warp(unsigned mask);
unsigned ballot(unsigned mask, bool value, const char* name);

// Exchange up to 8 bytes with another lane of the same `width` lanes.
uint64_t shuffle(unsigned mask, uint64_t value, Shuffle way, int argument, int width);

template <class T>
inline T shuffle_value(unsigned mask, T value, Shuffle way, int argument, int width) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = shuffle(mask, bits, way, argument, width);
  memcpy(&value, &bits, sizeof value);
  return value;
}
}  // namespace hostcuda

inline void __syncwarp(unsigned mask = ~0u) { hostcuda::sync_warp(mask); }

template <class T>
inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  return hostcuda::shuffle_value(mask, value, hostcuda::Shuffle::index, lane, width);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return hostcuda::shuffle_value(mask, value, hostcuda::Shuffle::up, by, width);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return hostcuda::shuffle_value(mask, value, hostcuda::Shuffle::down, by, width);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return hostcuda::shuffle_value(mask, value, hostcuda::Shuffle::exclusive_or, bits, width);
}

inline unsigned __ballot_sync(unsigned mask, int value) {
  return hostcuda::ballot(mask, value, "__ballot_sync");
}
inline int __any_sync(unsigned mask, int value) {
  return hostcuda::ballot(mask, value, "__any_sync") != 0;
}
inline int __all_sync(unsigned mask, int value) {
  return hostcuda::ballot(mask, !value, "__all_sync") == 0;
}
