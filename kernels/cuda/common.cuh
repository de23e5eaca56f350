// What kernels need of a device's own instructions: matrix products, loads of their operands,
// asynchronous copies, accesses of 16 bytes. All inline assembly of the project is here, and all
// that depends on the architecture: kernels have neither.
//
// NVRTC compiles what follows for sm_75 and later; where a device lacks an instruction, others that
// it has stand in. On the CPU the same names are functions of tests/hostcuda (HOSTCUDA).
#pragma once

#ifdef HOSTCUDA
#define DEVICE inline
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#define DEVICE __device__ __forceinline__

typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#endif

// The i-th number of a register of operands.
struct Bf16Pair {
  static constexpr int count = 2;
  static DEVICE float at(uint32_t bits, int i) { return __uint_as_float(bits >> 16 * i << 16); }
};
struct Tf32Single {
  static constexpr int count = 1;
  static DEVICE float at(uint32_t bits, int) { return __uint_as_float(bits & ~0x1FFFu); }
};

// The product of a warp (mma_bf16, mma_tf32) where the device has none of this type: each lane
// fetches the rows of a and the columns of b that its four sums need, register by register.
template <class Operand>
DEVICE void mma_by_shuffles(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  int lane = threadIdx.x % 32, group = lane / 4, within = lane % 4;
#pragma unroll
  for (int from = 0; from < 4; from++) {  // the four lanes that hold a row, or a column
#pragma unroll
    for (int part = 0; part < 2; part++) {  // the halves of k
      uint32_t above = __shfl_sync(~0u, a[2 * part], group * 4 + from);
      uint32_t below = __shfl_sync(~0u, a[2 * part + 1], group * 4 + from);
#pragma unroll
      for (int column = 0; column < 2; column++) {
        uint32_t right = __shfl_sync(~0u, b[part], (within * 2 + column) * 4 + from);
#pragma unroll
        for (int i = 0; i < Operand::count; i++) {
          d[column] += Operand::at(above, i) * Operand::at(right, i);
          d[2 + column] += Operand::at(below, i) * Operand::at(right, i);
        }
      }
    }
  }
}

// Where a tile of rows of 128 bytes has its pieces of 16: no two of a column of eight lie in the
// same banks. For `wgmma_*` it begins at a multiple of 1024 bytes of shared memory.
DEVICE int swizzled(int row, int piece) { return row * 128 + (piece ^ (row & 7)) * 16; }

#ifndef HOSTCUDA
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define DARKPY_AMPERE 1  // m16n8k16, bf16, tf32 and cp.async
#endif

DEVICE unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

// d += a b for a warp: a is 16 x 16 by rows, b 16 x 8 by columns, d 16 x 8, each spread over the
// lanes as the PTX ISA says for mma.m16n8k16.
DEVICE void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef DARKPY_AMPERE
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else  // two halves of 8 along k
#pragma unroll
  for (int half_k = 0; half_k < 2; half_k++) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};\n"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[2 * half_k]), "r"(a[2 * half_k + 1]), "r"(b[half_k]));
  }
#endif
}

// As mma_f16, of bfloat16.
DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef DARKPY_AMPERE
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  mma_by_shuffles<Bf16Pair>(d, a, b);
#endif
}

// Bits of a float, rounded to tf32; of halves the one away from zero.
DEVICE uint32_t round_tf32(uint32_t bits) {
#ifdef DARKPY_AMPERE
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;\n" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
#else
  return (bits & 0x7F800000u) == 0x7F800000u ? bits : (bits + 0x1000u) & ~0x1FFFu;
#endif
}

// As mma_f16, of tf32 (a float32 of which 10 bits of the fraction count), with a depth of 8.
DEVICE void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#ifdef DARKPY_AMPERE
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  mma_by_shuffles<Tf32Single>(d, a, b);
#endif
}

// Load four 8 x 8 matrices of 16 bits from shared memory: lane l gives the address of row l % 8 of
// matrix l / 8, a multiple of 16 bytes, and gets columns 2 (l % 4) and the next of row l / 4 of
// each.
DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same of the matrices transposed: rows 2 (l % 4) and the next of column l / 4.
DEVICE void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// Accesses of 16 bytes, at multiples of 16. The empty assembly takes all of a load, which the
// compiler would else break up where a branch uses only some of it.
DEVICE uint4 load16(const void* address) {
  uint4 value = *(const uint4*)address;
  asm("" : "+r"(value.x), "+r"(value.y), "+r"(value.z), "+r"(value.w));
  return value;
}
DEVICE void store16(void* address, uint4 value) { *(uint4*)address = value; }

// Begin to copy 16 bytes from global to shared memory, or to fill them with zeros if not `inside`;
// both are multiples of 16. Those since the last commit are a group.
DEVICE void cp_async16(void* shared, const void* global, bool inside) {
#ifdef DARKPY_AMPERE
  asm volatile(
      "{\n.reg .pred outside;\nsetp.eq.u32 outside, %2, 0;\n"
      "cp.async.cg.shared.global [%0], [%1], 16, outside;\n}\n" ::"r"(shared_address(shared)),
      "l"(global), "r"((unsigned)inside)
      : "memory");
#else
  store16(shared, inside ? load16(global) : make_uint4(0, 0, 0, 0));
#endif
}

DEVICE void cp_async_commit() {
#ifdef DARKPY_AMPERE
  asm volatile("cp.async.commit_group;\n" ::: "memory");
#endif
}

// Wait until at most `groups_left` of this thread's groups, the latest, are under way. Other
// threads see what was copied after a barrier.
template <int groups_left>
DEVICE void cp_async_wait() {
#ifdef DARKPY_AMPERE
  asm volatile("cp.async.wait_group %0;\n" ::"n"(groups_left) : "memory");
#endif
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
// Products of a warpgroup, four warps from a multiple of four on, by Hopper (sm_90a), which go on
// while its threads do: d += a b^T, of 32 bytes of each row of tiles as `swizzled` has them. a has
// 64 rows and b as many as d columns: 64, 128 or 256. A lane's d[q] is in row lane / 4 + q / 2 % 2
// * 8 of its warp's 16, and in column q / 4 * 8 + lane % 4 * 2 + q % 2.
//
// Threads give over what they have written of a tile by `fence_async_proxy`, each its own, and then
// a barrier. `wgmma_fence` stands before the first product, and after d was touched by others than
// products. From a product to the `wgmma_wait` for its group nobody writes to the tiles, and d is
// of no use.

// The place of a tile, `bytes` (a multiple of 32, less than 128) into its rows.
DEVICE unsigned long long wgmma_tile(const void* tile, int bytes) {
  const unsigned long long eight_rows = 1024, swizzle_of_128_bytes = 1;
  unsigned long long address = shared_address(tile) & 0x3FFFF;
  return (address >> 4) + (bytes >> 4) | eight_rows >> 4 << 32 | swizzle_of_128_bytes << 62;
}

DEVICE void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory"); }
DEVICE void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory"); }
DEVICE void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory"); }

// Wait until at most `groups_left` groups of products, the latest, are under way.
template <int groups_left>
DEVICE void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(groups_left) : "memory");
}

// The registers of d in assembly, of N = 64, 128 and 256.
#define DARKPY_32                                                                                  \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"                           \
  ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define DARKPY_64 DARKPY_32                                                                        \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"               \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define DARKPY_128 DARKPY_64                                                                       \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"               \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"               \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"   \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define DARKPY_8(i)                                                                                \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),      \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define DARKPY_OF_32(i) DARKPY_8(i), DARKPY_8(i + 8), DARKPY_8(i + 16), DARKPY_8(i + 24)
#define DARKPY_OF_64(i) DARKPY_OF_32(i), DARKPY_OF_32(i + 32)
#define DARKPY_OF_128(i) DARKPY_OF_64(i), DARKPY_OF_64(i + 64)
#define DARKPY_PRODUCT(name, count, n, shape, signs, a_place, b_place)                             \
  DEVICE void name(float (&d)[count], unsigned long long a, unsigned long long b) {                \
    asm volatile("{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"                                    \
                 "wgmma.mma_async.sync.aligned.m64n" n shape " {" DARKPY_##count "}, "             \
                 a_place ", " b_place ", add, " signs ";\n}\n"                                     \
                 : DARKPY_OF_##count(0)                                                            \
                 : "l"(a), "l"(b));                                                                \
  }
#define DARKPY_PRODUCTS(name, shape, signs)                                                        \
  DARKPY_PRODUCT(name, 32, "64", shape, signs, "%32", "%33")                                       \
  DARKPY_PRODUCT(name, 64, "128", shape, signs, "%64", "%65")                                      \
  DARKPY_PRODUCT(name, 128, "256", shape, signs, "%128", "%129")

DARKPY_PRODUCTS(wgmma_f16, "k16.f32.f16.f16", "1, 1, 0, 0")
DARKPY_PRODUCTS(wgmma_bf16, "k16.f32.bf16.bf16", "1, 1, 0, 0")
DARKPY_PRODUCTS(wgmma_tf32, "k8.f32.tf32.tf32", "1, 1")
#endif  // sm_90a
#endif  // not HOSTCUDA
