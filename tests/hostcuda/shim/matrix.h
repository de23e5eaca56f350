// Tensor cores: the host's half of kernels/cuda/common.cuh, which says what each function does.
#pragma once
#include "language.h"

void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
inline uint32_t round_tf32(uint32_t bits) {
  return (bits & 0x7F800000u) == 0x7F800000u ? bits : (bits + 0x1000u) & ~0x1FFFu;
}
void ldmatrix_x4(uint32_t (&r)[4], const void* row);
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row);

// Hopper's, of a warpgroup.
unsigned long long wgmma_tile(const void* tile, int bytes);
void fence_async_proxy();
void wgmma_fence();
void wgmma_commit();

namespace hostcuda {
enum class Format { f16, bf16, tf32 };
void begin_product(const char* name, Format format, float* d, int columns, unsigned long long a,
                   unsigned long long b);
void wait_for_products(int groups_left);
}  // namespace hostcuda

#define HOSTCUDA_PRODUCT(type)                                                                   \
  template <int count>                                                                           \
  __forceinline__ void wgmma_##type(float (&d)[count], unsigned long long a,                     \
                                    unsigned long long b) {                                      \
    static_assert(count == 32 || count == 64 || count == 128);                                   \
    hostcuda::begin_product("wgmma_" #type, hostcuda::Format::type, d, 2 * count, a, b);         \
  }
HOSTCUDA_PRODUCT(f16)
HOSTCUDA_PRODUCT(bf16)
HOSTCUDA_PRODUCT(tf32)
#undef HOSTCUDA_PRODUCT

template <int groups_left>
__forceinline__ void wgmma_wait() {
  hostcuda::wait_for_products(groups_left);
}
