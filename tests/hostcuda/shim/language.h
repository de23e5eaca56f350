// Keywords, types and arithmetic of CUDA C++.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __grid_constant__

// A thread_local array in a function is static, and an extern one may be of unknown size: both
// forms of __shared__ become legal C++. All threads of a block are fibers of one system thread.
#define __shared__ thread_local

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define HOSTCUDA_VECTORS(scalar, name)                                            \
  struct __align__(2 * sizeof(scalar)) name##2 {                                  \
    scalar x, y;                                                                  \
  };                                                                              \
  struct __align__(4 * sizeof(scalar)) name##4 {                                  \
    scalar x, y, z, w;                                                            \
  };                                                                              \
  inline name##2 make_##name##2(scalar x, scalar y) { return {x, y}; }            \
  inline name##4 make_##name##4(scalar x, scalar y, scalar z, scalar w) {         \
    return {x, y, z, w};                                                          \
  }
HOSTCUDA_VECTORS(float, float)
HOSTCUDA_VECTORS(int, int)
HOSTCUDA_VECTORS(unsigned, uint)
HOSTCUDA_VECTORS(unsigned char, uchar)
#undef HOSTCUDA_VECTORS

template <class To, class From>
inline To hostcuda_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

inline int __float_as_int(float x) { return hostcuda_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return hostcuda_bits<unsigned>(x); }
inline float __int_as_float(int x) { return hostcuda_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return hostcuda_bits<float>(x); }

// 16-bit floating point: kept as bits, computed as float, rounded to nearest even.
struct __half {
  uint16_t bits;
  __half() = default;
  __half(float x) : bits(hostcuda_bits<uint16_t>((_Float16)x)) {}
  operator float() const {
    float scaled = __uint_as_float((bits & 0x7FFFu) << 13) * 0x1p112f;  // subnormals come out right
    unsigned magnitude = __float_as_uint(scaled);
    if ((bits & 0x7C00u) == 0x7C00u) magnitude = 0x7F800000u | (bits & 0x3FFu) << 13;
    return __uint_as_float(magnitude | (bits & 0x8000u) << 16);
  }
};
struct __nv_bfloat16 {
  uint16_t bits;
  __nv_bfloat16() = default;
  __nv_bfloat16(float x) {
    unsigned u = __float_as_uint(x);
    bits = isnan(x) ? 0x7FFF : (u + 0x7FFFu + (u >> 16 & 1)) >> 16;
  }
  operator float() const { return __uint_as_float((unsigned)bits << 16); }
};
template <class T>
struct alignas(4) hostcuda_pair {
  T x, y;
};
typedef __half half;
typedef hostcuda_pair<__half> half2, __half2;
typedef hostcuda_pair<__nv_bfloat16> __nv_bfloat162;

inline float __half2float(half x) { return x; }
inline half __float2half(float x) { return x; }
inline half __float2half_rn(float x) { return x; }
inline half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline float2 __half22float2(half2 v) { return {v.x, v.y}; }
inline float __low2float(half2 v) { return v.x; }
inline float __high2float(half2 v) { return v.y; }
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {x, y}; }
inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {v.x, v.y}; }

#define HOSTCUDA_MIN_MAX(type)                                   \
  inline type min(type a, type b) { return b < a ? b : a; }      \
  inline type max(type a, type b) { return a < b ? b : a; }
HOSTCUDA_MIN_MAX(int)
HOSTCUDA_MIN_MAX(unsigned)
HOSTCUDA_MIN_MAX(long)
HOSTCUDA_MIN_MAX(unsigned long)
HOSTCUDA_MIN_MAX(long long)
HOSTCUDA_MIN_MAX(unsigned long long)
HOSTCUDA_MIN_MAX(float)
HOSTCUDA_MIN_MAX(double)
#undef HOSTCUDA_MIN_MAX

inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fmul_rn(float x, float y) { return x * y; }  // never one with an addition
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned x, unsigned y) { return (uint64_t)x * y >> 32; }

template <class T>
inline T __ldg(const T* p) {
  return *p;
}
