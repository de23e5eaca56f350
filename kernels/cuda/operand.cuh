// How numbers of a precision are multiplied by tensor cores. Operands lie in shared memory in
// pieces of 16 bytes along the sum; a step takes two pieces of each row: 16 numbers of 16 bits, 8
// of 32. Sums are float.
#pragma once
#include "common.cuh"

struct Pairs {
  struct Left {
    uint32_t bits[4];
  };
  struct Right {
    uint32_t bits[2];
  };
  static DEVICE Left left(const uint32_t (&r)[4]) { return {{r[0], r[1], r[2], r[3]}}; }
  static DEVICE Right right(uint32_t first, uint32_t second) { return {{first, second}}; }
};

struct Fp16 : Pairs {
  typedef half Type;
  static DEVICE void multiply(float (&d)[4], const Left& a, const Right& b) {
    mma_f16(d, a.bits, b.bits);
  }
};

struct Bf16 : Pairs {
  typedef __nv_bfloat16 Type;
  static DEVICE void multiply(float (&d)[4], const Left& a, const Right& b) {
    mma_bf16(d, a.bits, b.bits);
  }
};

// float32 of which 10 bits of the fraction count, rounded to nearest.
struct Tf32 : Pairs {
  typedef float Type;
  static DEVICE Left left(const uint32_t (&r)[4]) {
    return {{round_tf32(r[0]), round_tf32(r[1]), round_tf32(r[2]), round_tf32(r[3])}};
  }
  static DEVICE Right right(uint32_t first, uint32_t second) {
    return {{round_tf32(first), round_tf32(second)}};
  }
  static DEVICE void multiply(float (&d)[4], const Left& a, const Right& b) {
    mma_tf32(d, a.bits, b.bits);
  }
};

// float32 as the sum of two tf32; of the four products that of the two small parts is left out,
// which is below 2^-21 of the whole. Tensor cores cut off what they add to a sum (Ootomo and Yokota
// 2022, https://arxiv.org/abs/2203.03341), so theirs are short and float's are long.
struct Fp32 {
  typedef float Type;
  struct Left {
    uint32_t high[4], low[4];
  };
  struct Right {
    uint32_t high[2], low[2];
  };
  static DEVICE void split(uint32_t bits, uint32_t& high, uint32_t& low) {
    high = round_tf32(bits);
    low = round_tf32(__float_as_uint(__uint_as_float(bits) - __uint_as_float(high)));
  }
  static DEVICE Left left(const uint32_t (&r)[4]) {
    Left a;
#pragma unroll
    for (int i = 0; i < 4; i++) split(r[i], a.high[i], a.low[i]);
    return a;
  }
  static DEVICE Right right(uint32_t first, uint32_t second) {
    Right b;
    split(first, b.high[0], b.low[0]);
    split(second, b.high[1], b.low[1]);
    return b;
  }
  static DEVICE void multiply(float (&d)[4], const Left& a, const Right& b) {
    float own[4] = {};
    mma_tf32(own, a.low, b.high);
    mma_tf32(own, a.high, b.low);
    mma_tf32(own, a.high, b.high);
#pragma unroll
    for (int i = 0; i < 4; i++) d[i] += own[i];
  }
};
