// Asynchronous copies, done at once (eager) or as late as the wait that ends them (lazy).
//
// Lazy shows a wait that is missing: until then the destination is NaN. Eager shows a copy that is
// issued too early, while its destination is still read. A GPU may do either.
#pragma once
#include "check.h"

namespace hostcuda {
inline bool is_shared(const void* address, size_t bytes) {
  uintptr_t a = (uintptr_t)address;
  return a >= state.shared_begin && a + bytes <= state.shared_end;
}

inline void refuse_misaligned(const void* address, const char* what, const void* caller) {
  if ((uintptr_t)address % 16) fail_at(caller, "misaligned: %s needs 16 bytes", what);
}

inline void perform(const Copy& copy) {
  if (copy.from) {
    memcpy(copy.to, copy.from, 16);
  } else {
    memset(copy.to, 0, 16);
  }
}

inline void finish_group(const std::vector<Copy>& group) {
  for (const Copy& copy : group) {
    if (!state.request->eager) perform(copy);
    set_in_flight(copy.to, false, copy.caller);
  }
}

void wait_for_copies(int groups_left) {
  auto& groups = self->groups;
  while (groups.size() > (size_t)groups_left) {
    finish_group(groups.front());
    groups.erase(groups.begin());
  }
}
}  // namespace hostcuda

void cp_async16(void* shared, const void* global, bool inside) {
  using namespace hostcuda;
  const void* caller = HOSTCUDA_CALLER;
  refuse_misaligned(shared, "the destination of cp_async16", caller);
  if (!is_shared(shared, 16)) fail_at(caller, "the destination of cp_async16 is not shared memory");
  if (inside) {
    refuse_misaligned(global, "the source of cp_async16", caller);
    check_access(global, 16, Access::read, caller);
  }
  check_access(shared, 16, Access::write, caller);
  set_in_flight(shared, true, caller);
  Copy copy = {shared, inside ? global : nullptr, caller};
  if (state.request->eager) {
    perform(copy);
  } else {
    memset(shared, 0xFF, 16);
  }
  self->issued.push_back(copy);
}

void cp_async_commit() {
  using hostcuda::self;
  self->groups.push_back(std::move(self->issued));
  self->issued.clear();
}

uint4 load16(const void* address) {
  const void* caller = HOSTCUDA_CALLER;
  hostcuda::refuse_misaligned(address, "load16", caller);
  hostcuda::check_access(address, 16, hostcuda::Access::read, caller);
  return *(const uint4*)address;
}

void store16(void* address, uint4 value) {
  const void* caller = HOSTCUDA_CALLER;
  hostcuda::refuse_misaligned(address, "store16", caller);
  hostcuda::check_access(address, 16, hostcuda::Access::write, caller);
  *(uint4*)address = value;
}
