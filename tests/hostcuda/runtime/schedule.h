// Which thread runs next, and how a block waits.
//
// A fiber runs alone until it waits. Those released together run in one of three orders, so that a
// result which depends on an order differs between forward and reverse.
#pragma once
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <deque>

#include "state.h"

namespace hostcuda {
inline std::deque<Thread*> ready;

inline uint64_t draw() {  // xorshift64, Marsaglia 2003
  uint64_t& x = state.random;
  x ^= x << 13;
  x ^= x >> 7;
  return x ^= x << 17;
}

template <class T>
void arrange(std::vector<T>& items) {
  if (state.request->order == reverse) std::reverse(items.begin(), items.end());
  if (state.request->order == shuffled) {
    for (size_t i = items.size(); i > 1; i--) std::swap(items[i - 1], items[draw() % i]);
  }
}

// Leave the running thread and take up the next one; with none left, return to the launch.
inline void run_next() {
  Thread* from = self;
  if (ready.empty()) {
    self = nullptr;
    switch_fiber(from->fiber, state.main);
    return;
  }
  self = ready.front();
  ready.pop_front();
  if (self != from) switch_fiber(from->fiber, self->fiber);
}

inline void wait_in(const char* operation) {
  self->waits_in = operation;
  run_next();
}

[[noreturn]] inline void fail_with(const void* caller, const char* format, va_list values) {
  uint3 b = state.block_index, t = self->index;
  int n = snprintf(state.message, sizeof state.message,
                   "block (%u, %u, %u) thread (%u, %u, %u): ", b.x, b.y, b.z, t.x, t.y, t.z);
  vsnprintf(state.message + n, sizeof state.message - n, format, values);
  state.caller = caller;
  state.failed = true;
  ready.clear();
  run_next();
  abort();
}

void fail(const char* format, ...) {
  va_list values;
  va_start(values, format);
  fail_with(nullptr, format, values);
}

void fail_at(const void* caller, const char* format, ...) {
  va_list values;
  va_start(values, format);
  fail_with(caller, format, values);
}

// Let all threads of the block run, warp by warp.
inline void release_block() {
  std::vector<int> warps, numbers;
  for (int w = 0; w * lanes < state.threads; w++) warps.push_back(w);
  arrange(warps);
  for (int w : warps) {
    numbers.clear();
    for (int i = w * lanes; i < std::min((w + 1) * lanes, state.threads); i++) numbers.push_back(i);
    arrange(numbers);
    for (int i : numbers) {
      state.thread[i].waits_in = nullptr;
      ready.push_back(&state.thread[i]);
    }
  }
}

inline void refuse_skipped_barrier() {
  int returned = state.threads - state.alive;
  if (returned) {
    fail("%d of %d threads returned without the __syncthreads that %d wait in", returned,
         state.threads, state.at_barrier);
  }
}

// What a thread has fenced, and what it knows of other blocks, holds for all after a barrier.
inline void pass_on_order() {
  for (int i = 0; i < state.threads; i++) {
    Thread& t = state.thread[i];
    t.fences_at_barrier = t.fences;
    state.counted |= t.counted;
    state.acquired |= t.acquired;
  }
}

int barrier(Vote vote, bool value) {
  unsigned turn = state.epoch & 1;  // the other one is still read by threads of the last barrier
  if (state.at_barrier == 0) state.votes[turn] = vote == Vote::all;
  if (vote == Vote::any) state.votes[turn] |= value;
  if (vote == Vote::all) state.votes[turn] &= value;
  if (vote == Vote::count) state.votes[turn] += value;
  if (++state.at_barrier == state.alive) {
    refuse_skipped_barrier();
    state.at_barrier = 0;
    state.epoch++;
    if (state.request->check) pass_on_order();
    release_block();
  }
  wait_in("__syncthreads");
  return state.votes[turn];
}

uint3 thread_index() { return self->index; }
uint3 block_index() { return state.block_index; }
uint3 block_size() { return state.block; }
uint3 grid_size() { return state.grid; }

inline bool has_copies_in_flight(const Thread& t) {
  for (const auto& group : t.groups) {
    if (!group.empty()) return true;
  }
  return !t.issued.empty();
}

// What every fiber executes.
inline void thread_main() {
  state.kernel->call(state.arguments);
  if (has_copies_in_flight(*self)) {
    fail("returned with asynchronous copies in flight; cp_async_wait<0>() is missing");
  }
  if (!self->sums.empty()) fail("returned with products in flight; wgmma_wait<0>() is missing");
  self->done = true;
  self->waits_in = nullptr;
  state.alive--;
  if (state.at_barrier && state.at_barrier == state.alive) refuse_skipped_barrier();
  run_next();
  abort();
}

inline void prepare_threads() {
  for (int i = 0; i < state.threads; i++) {
    Thread& t = state.thread[i];
    t.number = i;
    t.lane = i % lanes;
    t.warp = i / lanes;
    unsigned x = state.block.x, y = state.block.y;
    t.index = {i % x, i / x % y, i / (x * y)};
    t.done = false;
    t.issued.clear();
    t.groups.clear();
    t.sums.clear();
    t.registers_fenced = false;
    t.proxy_fences = t.fences = t.fences_at_barrier = 0;
    t.counted = t.acquired = false;
    prepare_fiber(t.fiber, state.stacks + i * stack_bytes, thread_main);
  }
  for (Warp& warp : state.warp) {
    warp.open.clear();
    warp.epoch = 0;
    warp.products.clear();
    warp.groups.clear();
    warp.issued = 0;
  }
  for (auto& sequence : state.sequence) sequence.clear();
}

inline void report_deadlock() {
  int at_barrier = 0, in_collective = 0;
  const Thread* example = nullptr;
  for (int i = 0; i < state.threads; i++) {
    const Thread& t = state.thread[i];
    if (t.done) continue;
    bool barrier = !strcmp(t.waits_in, "__syncthreads");
    (barrier ? at_barrier : in_collective)++;
    if (!barrier && !example) example = &t;
  }
  uint3 b = state.block_index;
  uint3 t = example->index;  // without one, the barrier would have reported
  snprintf(state.message, sizeof state.message,
           "block (%u, %u, %u): deadlock: %d threads wait in warp operations, the first of them, "
           "thread (%u, %u, %u), in %s; %d wait in __syncthreads, %d returned",
           b.x, b.y, b.z, in_collective, t.x, t.y, t.z, example->waits_in, at_barrier,
           state.threads - state.alive);
  state.failed = true;
}

// Run the block of state.block_index; false if it failed.
inline bool run_block() {
  state.alive = state.threads;
  state.at_barrier = 0;
  state.epoch = 1;
  state.counted = state.acquired = false;
  prepare_threads();
  ready.clear();
  release_block();
  self = ready.front();
  ready.pop_front();
  switch_fiber(state.main, self->fiber);
  if (!state.failed && state.alive) report_deadlock();
  self = nullptr;
  return !state.failed;
}
}  // namespace hostcuda
