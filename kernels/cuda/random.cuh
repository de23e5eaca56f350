// Random numbers that follow from a counter and a key: Philox 4x32-10 (Salmon et al. 2011,
// "Parallel random numbers: as easy as 1, 2, 3", https://doi.org/10.1145/2063384.2063405).
#pragma once
#include "common.cuh"

// Four words of 32 bits from a counter of four and a key of two.
DEVICE uint4 philox(uint4 counter, uint2 key) {
#pragma unroll
  for (int round = 0; round < 10; round++) {
    unsigned low = 0xD2511F53u * counter.x, high = __umulhi(0xD2511F53u, counter.x);
    unsigned left = 0xCD9E8D57u * counter.z, right = __umulhi(0xCD9E8D57u, counter.z);
    counter = make_uint4(right ^ counter.y ^ key.x, left, high ^ counter.w ^ key.y, low);
    key = make_uint2(key.x + 0x9E3779B9u, key.y + 0xBB67AE85u);
  }
  return counter;
}

// What an op draws in a step: `state` has the seed and the number of the step, 64 bits each, the
// lower word first; `stream` tells ops of a step apart.
struct Draws {
  uint4 counter;
  uint2 key;

  DEVICE Draws(const unsigned* state, unsigned stream)
      : counter(make_uint4(0, stream, state[2], state[3])), key(make_uint2(state[0], state[1])) {}

  // Four numbers in 0 .. 1, 1 excluded: those of an index.
  DEVICE void uniform(float (&to)[4], unsigned index) const {
    uint4 at = counter;
    at.x = index;
    uint4 bits = philox(at, key);
    to[0] = (bits.x >> 8) * 0x1p-24f, to[1] = (bits.y >> 8) * 0x1p-24f;
    to[2] = (bits.z >> 8) * 0x1p-24f, to[3] = (bits.w >> 8) * 0x1p-24f;
  }
};
