// Numbers of a map: float, half or bfloat16 in memory, float where they are computed with. Maps are
// read and written in pieces of 16 bytes.
#pragma once
#include "common.cuh"

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(half x) { return __half2float(x); }
DEVICE float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

template <class T>
DEVICE T from_float(float x);
template <>
DEVICE float from_float<float>(float x) {
  return x;
}
template <>
DEVICE half from_float<half>(float x) {
  return __float2half_rn(x);
}
template <>
DEVICE __nv_bfloat16 from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16(x);
}

template <class T>
constexpr int PIECE = 16 / (int)sizeof(T);

// The numbers of a piece. Its address is a multiple of 16.
template <class T>
struct Piece {
  float at[PIECE<T>];

  static DEVICE Piece load(const T* from) {
    union {
      uint4 bits;
      T numbers[PIECE<T>];
    } raw;
    raw.bits = load16(from);
    Piece piece;
#pragma unroll
    for (int i = 0; i < PIECE<T>; i++) piece.at[i] = to_float(raw.numbers[i]);
    return piece;
  }

  DEVICE void store(T* to) const {
    union {
      uint4 bits;
      T numbers[PIECE<T>];
    } raw;
#pragma unroll
    for (int i = 0; i < PIECE<T>; i++) raw.numbers[i] = from_float<T>(at[i]);
    store16(to, raw.bits);
  }
};
