// Collective operations of a warp: each lane leaves its operand and waits; the last one computes.
#pragma once
#include "schedule.h"

namespace hostcuda {
// Fill in `result` of each lane in the mask from all operands.
using Finish = void (*)(unsigned mask, Thread* lane);

inline unsigned lanes_present(int warp) {
  int count = std::min(state.threads - warp * lanes, lanes);
  return count == lanes ? ~0u : (1u << count) - 1;
}

// Find the operation that other lanes of the same mask wait in, or begin one. Some lanes of those
// may go on among themselves first, with a smaller mask.
inline Collective& join(Warp& warp, const char* name, unsigned mask) {
  for (Collective& open : warp.open) {
    if (open.mask != mask) continue;
    if (!strcmp(open.name, name)) return open;
    fail("%s (mask %08x): lanes of the warp diverged, others wait in %s", name, mask, open.name);
  }
  warp.open.push_back({name, mask, 0});
  return warp.open.back();
}

inline void release_lanes(unsigned mask) {
  static std::vector<Thread*> released;  // static: no memory is asked for in each operation
  released.clear();
  for (int l = 0; l < lanes; l++) {
    Thread* t = &state.thread[self->warp * lanes + l];
    if ((mask >> l & 1) && t != self) released.push_back(t);
  }
  arrange(released);
  std::reverse(released.begin(), released.end());  // the first is to be at the front
  for (Thread* t : released) {
    t->waits_in = nullptr;
    if (state.request->order == shuffled && draw() % 2) {
      ready.push_back(t);
    } else {
      ready.push_front(t);
    }
  }
}

// Do an operation on self->operand together with the other lanes in the mask.
inline void collective(const char* name, unsigned mask, Finish finish) {
  mask &= lanes_present(self->warp);
  unsigned bit = 1u << self->lane;
  if (!(mask & bit)) fail("%s: lane %d is not in its own mask %08x", name, self->lane, mask);
  Warp& warp = state.warp[self->warp];
  Collective& open = join(warp, name, mask);
  open.arrived |= bit;
  if (open.arrived != mask) {
    wait_in(name);
    return;
  }
  warp.open.erase(warp.open.begin() + (&open - warp.open.data()));
  finish(mask, &state.thread[self->warp * lanes]);
  release_lanes(mask);
}

template <class T>
T& operand_of(Thread& t) {
  static_assert(sizeof(T) <= sizeof t.operand);
  return *(T*)t.operand;
}
template <class T>
T& result_of(Thread& t) {
  static_assert(sizeof(T) <= sizeof t.result);
  return *(T*)t.result;
}

void sync_warp(unsigned mask) {
  collective("__syncwarp", mask, [](unsigned arrived, Thread* lane) {
    if (arrived == lanes_present(lane->warp)) state.warp[lane->warp].epoch++;
  });
}

unsigned ballot(unsigned mask, bool value, const char* name) {
  operand_of<bool>(*self) = value;
  collective(name, mask, [](unsigned arrived, Thread* lane) {
    unsigned votes = 0;
    for (int l = 0; l < lanes; l++) {
      if (arrived >> l & 1) votes |= (unsigned)operand_of<bool>(lane[l]) << l;
    }
    for (int l = 0; l < lanes; l++) result_of<unsigned>(lane[l]) = votes;
  });
  return result_of<unsigned>(*self);
}

struct Exchange {
  uint64_t value;
  int source;
};

// The lane that a shuffle reads: one's own where the way leads out of the `width` lanes.
inline int source_of(Shuffle way, int argument, int width) {
  int lane = self->lane, first = lane & ~(width - 1);
  switch (way) {
    case Shuffle::index:
      return first | (argument & (width - 1));
    case Shuffle::up:
      return lane - argument >= first ? lane - argument : lane;
    case Shuffle::down:
      return lane + argument < first + width ? lane + argument : lane;
    case Shuffle::exclusive_or:
      return (lane ^ argument) < first + width ? lane ^ argument : lane;
  }
  return lane;
}

uint64_t shuffle(unsigned mask, uint64_t value, Shuffle way, int argument, int width) {
  static const char* const names[] = {"__shfl_sync", "__shfl_up_sync", "__shfl_down_sync",
                                      "__shfl_xor_sync"};
  const char* name = names[(int)way];
  if (width < 1 || width > lanes || width & (width - 1)) fail("%s: width %d", name, width);
  int source = source_of(way, argument, width);
  if (!((mask & lanes_present(self->warp)) >> source & 1)) {
    fail("%s: reads lane %d, which is not in the mask %08x", name, source, mask);
  }
  operand_of<Exchange>(*self) = {value, source};
  collective(name, mask, [](unsigned arrived, Thread* lane) {
    for (int l = 0; l < lanes; l++) {
      if (!(arrived >> l & 1)) continue;
      int from = operand_of<Exchange>(lane[l]).source;
      result_of<uint64_t>(lane[l]) = operand_of<Exchange>(lane[from]).value;
    }
  });
  return result_of<uint64_t>(*self);
}
}  // namespace hostcuda
