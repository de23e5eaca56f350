// Entry points for Python: find a kernel, describe its parameters, launch it.
#pragma once
#include <csetjmp>
#include <csignal>

#include "check.h"
#include "schedule.h"

thread_local __align__(1024) unsigned char smem[hostcuda::max_shared_bytes];

namespace hostcuda {
inline const Kernel* first_kernel;

void add(Kernel* kernel) {
  kernel->next = first_kernel;
  first_kernel = kernel;
}

// Wild accesses of kernels built without checks end the launch, not the process.
class CatchFaults {
 public:
  static inline sigjmp_buf where;

  CatchFaults() {
    static char stack[64 << 10];  // the faulting fiber's may be the one that overflowed
    stack_t own = {};
    own.ss_sp = stack;
    own.ss_size = sizeof stack;
    sigaltstack(&own, &old_stack_);
    struct sigaction action = {};
    action.sa_handler = [](int) { siglongjmp(where, 1); };
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGSEGV, &action, &old_segv_);
    sigaction(SIGBUS, &action, &old_bus_);
  }
  ~CatchFaults() {
    sigaction(SIGSEGV, &old_segv_, nullptr);
    sigaction(SIGBUS, &old_bus_, nullptr);
    sigaltstack(&old_stack_, nullptr);
  }

 private:
  stack_t old_stack_;
  struct sigaction old_segv_, old_bus_;
};

inline void report_fault() {
  uint3 b = state.block_index, t = self ? self->index : uint3{};
  snprintf(state.message, sizeof state.message,
           "block (%u, %u, %u) thread (%u, %u, %u): segmentation fault: a wild or misaligned "
           "access, or a stack overflow; check mode says where",
           b.x, b.y, b.z, t.x, t.y, t.z);
  state.failed = true;
}

// Shared memory holds NaN (as float32, float16 and bfloat16) until somebody writes it.
inline void poison_shared_memory() {
  uintptr_t dynamic = (uintptr_t)smem;
  memset((void*)state.shared_begin, 0xFF, dynamic - state.shared_begin);
  memset(smem, 0xFF, state.request->shared_bytes);
  uintptr_t after = dynamic + max_shared_bytes;
  memset((void*)after, 0xFF, state.shared_end - after);
}

inline void run_grid() {
  std::vector<unsigned> numbers(state.grid.x * state.grid.y * state.grid.z);
  for (size_t i = 0; i < numbers.size(); i++) numbers[i] = i;
  arrange(numbers);
  for (unsigned i : numbers) {
    state.block_number = i;
    state.block_index = {i % state.grid.x, i / state.grid.x % state.grid.y,
                         i / (state.grid.x * state.grid.y)};
    poison_shared_memory();
    if (state.request->check) begin_block();
    if (!run_block()) return;
    if (state.request->statistics) end_block_statistics();
  }
}

inline void begin_launch(const Kernel* kernel, const Request* request, void** arguments) {
  state.kernel = kernel;
  state.request = request;
  state.arguments = arguments;
  state.random = request->seed * 2654435761u + 88172645463325252ull;
  const unsigned *g = request->grid, *b = request->block;
  state.grid = {g[0], g[1], g[2]};
  state.block = {b[0], b[1], b[2]};
  state.threads = b[0] * b[1] * b[2];
  state.failed = false;
  state.message[0] = 0;
  state.caller = nullptr;
  state.stacks = (char*)request->stacks;
  smem[0] = 0;  // the thread-local segment is made at its first use
  find_segments();
  if (request->check) begin_checks();
  if (request->statistics) begin_statistics();
}
}  // namespace hostcuda

#define HOSTCUDA_ENTRY extern "C" __attribute__((visibility("default")))

// Map the stacks of all threads, once for all modules of a process; null if there is no memory.
HOSTCUDA_ENTRY void* hostcuda_map_stacks() { return hostcuda::map_stacks(hostcuda::max_threads); }

HOSTCUDA_ENTRY const hostcuda::Kernel* hostcuda_find(const char* name) {
  const hostcuda::Kernel* kernel = hostcuda::first_kernel;
  while (kernel && strcmp(kernel->name, name)) kernel = kernel->next;
  return kernel;
}

// Write the parameters of a kernel and return their number; null only counts.
HOSTCUDA_ENTRY int hostcuda_parameters(const hostcuda::Kernel* kernel, hostcuda::Parameter* to) {
  if (to) std::copy(kernel->parameters, kernel->parameters + kernel->count, to);
  return kernel->count;
}

// Run a kernel; return null or why it failed. `offset` is then where in the library, or 0.
HOSTCUDA_ENTRY const char* hostcuda_launch(const hostcuda::Kernel* kernel,
                                           const hostcuda::Request* request, void** arguments,
                                           uint64_t* offset) {
  using namespace hostcuda;
  begin_launch(kernel, request, arguments);
  {
    CatchFaults faults;
    if (sigsetjmp(CatchFaults::where, 1)) {
      report_fault();
    } else {
      run_grid();
    }
  }
  self = nullptr;
  *offset = state.caller ? (uintptr_t)state.caller - 1 - image.begin : 0;
  return state.failed ? state.message : nullptr;
}

// Write what the instructions of the last launch cost and return their number; null only counts.
HOSTCUDA_ENTRY int hostcuda_traffic(hostcuda::Traffic* to) {
  if (to) {
    for (const auto& [instruction, cost] : hostcuda::traffic) *to++ = cost;
  }
  return hostcuda::traffic.size();
}
