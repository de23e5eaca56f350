// Statistics: what the accesses of a warp cost, by instruction.
//
// The n-th time that each lane is at an instruction is one request of the warp. It costs as many
// sectors of 32 bytes as it touches of global memory, or as many wavefronts as shared memory needs:
// a bank gives one word of 4 bytes at a time, and accesses of 8 and 16 bytes go in 2 and 4 parts.
#pragma once
#include <algorithm>
#include <map>
#include <tuple>

#include "state.h"

namespace hostcuda {
// As hostcuda/statistics.py reads it.
struct Traffic {
  uint64_t offset;  // of the instruction in the library
  int is_shared, is_write;
  uint64_t requests, lanes, cost, ideal;
};

using Instruction = std::tuple<const void*, bool, bool, size_t>;  // caller, shared, write, bytes
using Addresses = std::vector<uintptr_t>;

struct LaneAccess {
  int lane;
  uintptr_t address;
};
using WarpRequest = std::vector<LaneAccess>;

inline std::map<Instruction, Traffic> traffic;
inline std::map<Instruction, std::vector<WarpRequest>> requests[max_threads / lanes];
inline std::map<Instruction, size_t> visits[max_threads];

inline void log_access(uintptr_t address, size_t bytes, bool is_shared, bool is_write,
                       const void* caller) {
  Instruction instruction = {caller, is_shared, is_write, bytes};
  size_t visit = visits[self->number][instruction]++;
  auto& of_warp = requests[self->warp][instruction];
  if (of_warp.size() <= visit) of_warp.resize(visit + 1);
  of_warp[visit].push_back({self->lane, address});
}

// The units of `size` bytes, each once, that lanes from `first` to before `end` touch.
inline Addresses distinct(const WarpRequest& request, int first, int end, size_t bytes,
                          size_t size) {
  Addresses units;
  for (const LaneAccess& a : request) {
    if (a.lane < first || a.lane >= end) continue;
    uintptr_t last = (a.address + bytes - 1) / size;
    for (uintptr_t unit = a.address / size; unit <= last; unit++) units.push_back(unit);
  }
  std::sort(units.begin(), units.end());
  units.erase(std::unique(units.begin(), units.end()), units.end());
  return units;
}

inline void add_global(Traffic& t, const WarpRequest& request, size_t bytes) {
  t.cost += distinct(request, 0, lanes, bytes, 32).size();
  t.ideal += (distinct(request, 0, lanes, bytes, 1).size() + 31) / 32;
}

inline void add_shared(Traffic& t, const WarpRequest& request, size_t bytes) {
  int part = bytes <= 4 ? lanes : lanes * 4 / bytes;
  for (int first = 0; first < lanes; first += part) {
    Addresses words = distinct(request, first, first + part, bytes, 4);
    size_t in_bank[32] = {};
    for (uintptr_t word : words) in_bank[word % 32]++;
    t.cost += *std::max_element(in_bank, in_bank + 32);
    t.ideal += (words.size() + 31) / 32;
  }
}

// Add up the requests of the block that has run.
inline void end_block_statistics() {
  for (auto& of_warp : requests) {
    for (auto& [instruction, list] : of_warp) {
      auto [caller, is_shared, is_write, bytes] = instruction;
      Traffic& t = traffic[instruction];
      t.offset = (uintptr_t)caller - 1 - image.begin;
      t.is_shared = is_shared;
      t.is_write = is_write;
      for (const WarpRequest& request : list) {
        t.requests++;
        t.lanes += request.size();
        (is_shared ? add_shared : add_global)(t, request, bytes);
      }
    }
    of_warp.clear();
  }
  for (auto& of_thread : visits) of_thread.clear();
}

inline void begin_statistics() {
  traffic.clear();
  for (auto& of_warp : requests) of_warp.clear();
  for (auto& of_thread : visits) of_thread.clear();
}
}  // namespace hostcuda
