// What code built with -fsanitize=thread and -fsanitize=undefined calls. No sanitizer is linked.
#pragma once
#include "check.h"

#define HOSTCUDA_HOOK(bytes)                                                           \
  void __tsan_read##bytes(void* p) {                                                   \
    hostcuda::check_access(p, bytes, hostcuda::Access::read, HOSTCUDA_CALLER);         \
  }                                                                                    \
  void __tsan_write##bytes(void* p) {                                                  \
    hostcuda::check_access(p, bytes, hostcuda::Access::write, HOSTCUDA_CALLER);        \
  }                                                                                    \
  void __tsan_unaligned_read##bytes(void* p) {                                         \
    hostcuda::check_access(p, bytes, hostcuda::Access::read, HOSTCUDA_CALLER);         \
  }                                                                                    \
  void __tsan_unaligned_write##bytes(void* p) {                                        \
    hostcuda::check_access(p, bytes, hostcuda::Access::write, HOSTCUDA_CALLER);        \
  }

#define HOSTCUDA_UNDEFINED(name, text, ...)                                            \
  void __ubsan_handle_##name(__VA_ARGS__) {                                            \
    if (hostcuda::self) hostcuda::fail_at(HOSTCUDA_CALLER, text);                      \
  }

extern "C" {
HOSTCUDA_HOOK(1)
HOSTCUDA_HOOK(2)
HOSTCUDA_HOOK(4)
HOSTCUDA_HOOK(8)
HOSTCUDA_HOOK(16)
void __tsan_read_range(void* p, size_t bytes) {
  hostcuda::check_access(p, bytes, hostcuda::Access::read, HOSTCUDA_CALLER);
}
void __tsan_write_range(void* p, size_t bytes) {
  hostcuda::check_access(p, bytes, hostcuda::Access::write, HOSTCUDA_CALLER);
}
void __tsan_init() {}

HOSTCUDA_UNDEFINED(add_overflow, "integer overflow in an addition", void*, void*, void*)
HOSTCUDA_UNDEFINED(sub_overflow, "integer overflow in a subtraction", void*, void*, void*)
HOSTCUDA_UNDEFINED(mul_overflow, "integer overflow in a product", void*, void*, void*)
HOSTCUDA_UNDEFINED(negate_overflow, "integer overflow in a negation", void*, void*)
HOSTCUDA_UNDEFINED(divrem_overflow, "division by zero, or its overflow", void*, void*, void*)
HOSTCUDA_UNDEFINED(shift_out_of_bounds, "shift by a bad number of bits", void*, void*, void*)
HOSTCUDA_UNDEFINED(out_of_bounds, "index out of the bounds of an array", void*, void*)
HOSTCUDA_UNDEFINED(float_cast_overflow, "float that no integer holds", void*, void*)
void __ubsan_handle_type_mismatch_v1(void*, void* p) {
  if (!hostcuda::self) return;
  if (!p) hostcuda::fail_at(HOSTCUDA_CALLER, "null pointer");
  hostcuda::fail_at(HOSTCUDA_CALLER, "misaligned: a pointer to more than it is aligned for");
}
}
