// Asynchronous copies and 16-byte accesses: the host's half of kernels/cuda/common.cuh.
#pragma once
#include "language.h"

// Copy 16 bytes from global to shared memory, or fill them with zeros if not `inside`.
void cp_async16(void* shared, const void* global, bool inside);
void cp_async_commit();

namespace hostcuda {
void wait_for_copies(int groups_left);
}
template <int groups_left>
__forceinline__ void cp_async_wait() {
  hostcuda::wait_for_copies(groups_left);
}

uint4 load16(const void* address);
void store16(void* address, uint4 value);
