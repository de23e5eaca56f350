// Who a thread is, and how a block waits for all its threads.
#pragma once
#include "language.h"

namespace hostcuda {
// const: within one fiber the answer never changes, so that it is asked for once in a function.
__attribute__((const)) uint3 thread_index();
__attribute__((const)) uint3 block_index();
__attribute__((const)) uint3 block_size();
__attribute__((const)) uint3 grid_size();

enum class Vote { none, any, all, count };
int barrier(Vote vote, bool value);
void fence();
}  // namespace hostcuda

#define threadIdx (::hostcuda::thread_index())
#define blockIdx (::hostcuda::block_index())
#define blockDim (::hostcuda::block_size())
#define gridDim (::hostcuda::grid_size())
constexpr int warpSize = 32;

inline void __syncthreads() { hostcuda::barrier(hostcuda::Vote::none, false); }
inline int __syncthreads_or(int value) { return hostcuda::barrier(hostcuda::Vote::any, value); }
inline int __syncthreads_and(int value) { return hostcuda::barrier(hostcuda::Vote::all, value); }
inline int __syncthreads_count(int value) {
  return hostcuda::barrier(hostcuda::Vote::count, value);
}
inline void __threadfence() { hostcuda::fence(); }
inline void __threadfence_block() {}
