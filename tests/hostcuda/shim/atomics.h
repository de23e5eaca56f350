// Atomic operations. They never race with each other.
#pragma once
#include "language.h"

#define HOSTCUDA_ATOMICS(type)                        \
  type atomicAdd(type* address, type value);          \
  type atomicExch(type* address, type value);         \
  type atomicMax(type* address, type value);          \
  type atomicMin(type* address, type value);          \
  type atomicCAS(type* address, type old, type value);
HOSTCUDA_ATOMICS(int)
HOSTCUDA_ATOMICS(unsigned)
HOSTCUDA_ATOMICS(unsigned long long)
#undef HOSTCUDA_ATOMICS
float atomicAdd(float* address, float value);
float atomicExch(float* address, float value);
unsigned atomicOr(unsigned* address, unsigned value);
unsigned atomicAnd(unsigned* address, unsigned value);
