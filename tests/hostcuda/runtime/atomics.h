// Atomic operations: one thread runs at a time, so plain ones do.
#pragma once
#include "check.h"

namespace hostcuda {
template <class T, class Change>
T atomically(T* address, const void* caller, Change change) {
  check_atomic(address, sizeof(T), caller);
  T old = *address;
  *address = change(old);
  return old;
}
}  // namespace hostcuda

#define HOSTCUDA_ATOMIC(type, name, formula)                                                \
  type name(type* address, type value) {                                                    \
    return hostcuda::atomically(address, HOSTCUDA_CALLER,                                   \
                                [value](type old) -> type { return formula; });             \
  }
#define HOSTCUDA_ATOMICS(type)                                                              \
  HOSTCUDA_ATOMIC(type, atomicAdd, old + value)                                             \
  HOSTCUDA_ATOMIC(type, atomicExch, (void(old), value))                                     \
  HOSTCUDA_ATOMIC(type, atomicMax, old > value ? old : value)                               \
  HOSTCUDA_ATOMIC(type, atomicMin, old < value ? old : value)                               \
  type atomicCAS(type* address, type expected, type value) {                                \
    return hostcuda::atomically(address, HOSTCUDA_CALLER, [expected, value](type old) {     \
      return old == expected ? value : old;                                                 \
    });                                                                                     \
  }
HOSTCUDA_ATOMICS(int)
HOSTCUDA_ATOMICS(unsigned)
HOSTCUDA_ATOMICS(unsigned long long)
HOSTCUDA_ATOMIC(float, atomicAdd, old + value)
HOSTCUDA_ATOMIC(float, atomicExch, (void(old), value))
HOSTCUDA_ATOMIC(unsigned, atomicOr, old | value)
HOSTCUDA_ATOMIC(unsigned, atomicAnd, old & value)
#undef HOSTCUDA_ATOMICS
#undef HOSTCUDA_ATOMIC
