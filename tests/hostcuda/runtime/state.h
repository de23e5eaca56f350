// All that is known of a launch: its threads, warps and the block that runs.
#pragma once
#include <stddef.h>

#include <map>
#include <vector>

#include "../shim/hostcuda.h"
#include "fibers.h"

extern thread_local unsigned char smem[];  // dynamic shared memory; launch.h defines it

namespace hostcuda {
constexpr int max_threads = 1024, lanes = 32, warpgroup = 128;
constexpr size_t max_shared_bytes = 227 << 10;  // of Hopper, the largest there is

enum Order { forward, reverse, shuffled };

// An asynchronous copy that has been issued and not yet waited for.
struct Copy {
  void* to;
  const void* from;  // null: zeros
  const void* caller;
};

// A product of a warp, issued by all its lanes: 16 rows of d += a b^T.
struct Product {
  Format format;
  int columns;
  unsigned long long a, b;  // as wgmma_tile gives them
  float* d[lanes];          // each lane's registers
  const void* caller;
};

struct Thread {
  Fiber fiber;
  uint3 index;
  int number, lane, warp;
  bool done;
  const char* waits_in;  // the operation it waits in, or null
  alignas(16) unsigned char operand[48], result[32];  // of a collective operation
  std::vector<Copy> issued;
  std::vector<std::vector<Copy>> groups;
  std::map<float*, std::vector<float>> sums;  // of products in flight, by their registers
  bool registers_fenced;                      // by wgmma_fence
  unsigned proxy_fences;                      // how many fence_async_proxy it has done
  unsigned fences, fences_at_barrier;  // __threadfence: all, and those before the last barrier
  bool counted;   // it has done an atomic operation on global memory
  bool acquired;  // and a __threadfence since, its own or after another's and a barrier
};

// An operation of the lanes in `mask`, of which those in `arrived` wait.
struct Collective {
  const char* name;
  unsigned mask, arrived;
};

struct Warp {
  std::vector<Collective> open;
  unsigned epoch;  // grows with every __syncwarp of the whole warp, which orders its accesses
  std::vector<Product> products;  // issued since the last commit
  std::vector<std::vector<Product>> groups;
  size_t issued;  // products in all
};

struct Segment {
  uintptr_t begin, end;
  bool contains(uintptr_t address) const { return address >= begin && address < end; }
};
inline Segment image;  // the module itself: constants, and this runtime

struct Buffer {
  uintptr_t begin, end;
  const char* name;
  int restricted;  // an argument that is __restrict__
};

// As hostcuda/module.py fills it in.
struct Request {
  unsigned grid[3], block[3];
  uint64_t shared_bytes, seed;
  int order, eager, check, statistics, buffers;
  const Buffer* buffer;  // arrays of the launch
  int shared_variables;  // in bytes of the thread-local segment
  const Buffer* shared_variable;
  void* stacks;
};

struct State {
  const Request* request;
  const Kernel* kernel;
  void** arguments;
  uint64_t random;

  uint3 grid, block, block_index;
  int block_number, threads, alive, at_barrier;
  unsigned epoch;  // grows with every __syncthreads
  bool counted, acquired;  // what some thread had done before the last __syncthreads
  int votes[2];
  uintptr_t shared_begin, shared_end;  // the module's thread-local segment

  Thread thread[max_threads];
  Warp warp[max_threads / lanes];
  std::vector<Product> sequence[max_threads / warpgroup];  // what each warpgroup has issued
  Fiber main;
  char* stacks;

  bool failed;
  char message[1024];
  const void* caller;  // the instruction that failed, or null
};
inline State state;
inline Thread* self;  // the thread that runs, or null

// End the launch with a message; the second says which instruction of the kernel is to blame.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
[[noreturn]] void fail_at(const void* caller, const char* format, ...)
    __attribute__((format(printf, 2, 3)));
}  // namespace hostcuda

#define HOSTCUDA_CALLER __builtin_return_address(0)
