// Tensor cores: the layout of fragments is that of the PTX ISA, sections on mma.m16n8k16, m16n8k8
// and ldmatrix. Products are exact and sums float32, in order of k.
#pragma once
#include "copies.h"
#include "warp.h"

namespace hostcuda {
struct Fragments {
  uint32_t a[4], b[2];
  float d[4];
};

struct Float16 {
  static constexpr int per_register = 2;
  static float at(uint32_t bits, int i) {
    return __half(hostcuda_bits<__half>((uint16_t)(bits >> 16 * i)));
  }
};
struct Bfloat16 {
  static constexpr int per_register = 2;
  static float at(uint32_t bits, int i) { return __uint_as_float(bits >> 16 * i << 16); }
};
struct Tf32 {
  static constexpr int per_register = 1;
  static float at(uint32_t bits, int) { return __uint_as_float(bits & ~0x1FFFu); }  // 10 bits count
};

// d += a b of 16 x 8, where a quarter of a warp holds a row of a, or a column of b.
template <class Format>
void multiply(unsigned, Thread* lane) {
  constexpr int each = Format::per_register, depth = 8 * each;
  float a[16][depth], b[depth][8], d[16][8];
  for (int l = 0; l < lanes; l++) {
    const Fragments& f = operand_of<Fragments>(lane[l]);
    int group = l / 4, within = l % 4;
    for (int e = 0; e < each; e++) {
      int k = within * each + e;
      for (int r = 0; r < 4; r++) {
        a[group + r % 2 * 8][k + r / 2 * depth / 2] = Format::at(f.a[r], e);
      }
      for (int r = 0; r < 2; r++) b[k + r * depth / 2][group] = Format::at(f.b[r], e);
    }
    for (int r = 0; r < 4; r++) d[group + r / 2 * 8][within * 2 + r % 2] = f.d[r];
  }
  for (int i = 0; i < 16; i++) {
    for (int k = 0; k < depth; k++) {
      for (int j = 0; j < 8; j++) d[i][j] += a[i][k] * b[k][j];
    }
  }
  for (int l = 0; l < lanes; l++) {
    float* result = &result_of<float>(lane[l]);
    for (int r = 0; r < 4; r++) result[r] = d[l / 4 + r / 2 * 8][l % 4 * 2 + r % 2];
  }
}

inline void collective_of_all(const char* name, Finish finish) {
  if (lanes_present(self->warp) != ~0u) fail("%s: the warp has not all its 32 lanes", name);
  collective(name, ~0u, finish);
}

template <class Format>
void mma(const char* name, float* d, const uint32_t* a, const uint32_t* b) {
  Fragments& f = operand_of<Fragments>(*self);
  memcpy(f.a, a, sizeof f.a);
  memcpy(f.b, b, sizeof f.b);
  memcpy(f.d, d, sizeof f.d);
  collective_of_all(name, multiply<Format>);
  memcpy(d, self->result, sizeof f.d);
}

inline uint16_t element(Thread* lane, int row, int column) {
  uint16_t value;
  memcpy(&value, operand_of<const char*>(lane[row]) + 2 * column, 2);
  return value;
}

// Lanes 8 j to 8 j + 7 give the rows of matrix j; each lane gets two neighbours of each matrix.
template <bool transposed>
void distribute(unsigned, Thread* lane) {
  for (int l = 0; l < lanes; l++) {
    for (int j = 0; j < 4; j++) {
      uint32_t pair = 0;
      for (int e = 0; e < 2; e++) {
        int along = l % 4 * 2 + e, across = l / 4;
        int row = transposed ? along : across, column = transposed ? across : along;
        pair |= (uint32_t)element(lane, 8 * j + row, column) << 16 * e;
      }
      (&result_of<uint32_t>(lane[l]))[j] = pair;
    }
  }
}

inline void ldmatrix(const char* name, Finish finish, uint32_t* r, const void* row,
                     const void* caller) {
  if ((uintptr_t)row % 16) fail_at(caller, "misaligned: a row for %s needs 16 bytes", name);
  if (!is_shared(row, 16)) fail_at(caller, "a row for %s is not in shared memory", name);
  check_access(row, 16, Access::read, caller);
  operand_of<const void*>(*self) = row;
  collective_of_all(name, finish);
  memcpy(r, self->result, 16);
}
}  // namespace hostcuda

void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  hostcuda::mma<hostcuda::Float16>("mma_f16", d, a, b);
}
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  hostcuda::mma<hostcuda::Bfloat16>("mma_bf16", d, a, b);
}
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  hostcuda::mma<hostcuda::Tf32>("mma_tf32", d, a, b);
}
void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  hostcuda::ldmatrix("ldmatrix_x4", hostcuda::distribute<false>, r, row, HOSTCUDA_CALLER);
}
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  hostcuda::ldmatrix("ldmatrix_x4_trans", hostcuda::distribute<true>, r, row, HOSTCUDA_CALLER);
}
