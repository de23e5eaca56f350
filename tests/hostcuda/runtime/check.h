// Check mode: whether an access lies in an array of the launch, is aligned, reads what somebody
// wrote, and is ordered after all accesses of other threads that it conflicts with.
#pragma once
#include <link.h>

#include "state.h"
#include "statistics.h"

namespace hostcuda {
enum class Access { read, write, atomic };

// Which threads have read a byte since it was written.
enum Readers : uint8_t { no_thread, one_thread, one_warp, one_block, several_blocks };

// What is known of a byte. Epochs are those of state.epoch and Warp.epoch.
struct Cell {
  int writer_block, reader_block;
  unsigned write_epoch, write_warp_epoch, read_epoch, read_warp_epoch;
  int16_t writer, reader;  // threads; the writer is -1 where nobody wrote
  Readers readers;
  bool in_flight;          // an asynchronous copy that nobody waited for writes it
  bool atomic;             // the last write was: others do not conflict with it
  uint16_t products;       // in flight that read it
  unsigned writer_fences;  // fence_async_proxy of the writer before the write
};
constexpr Cell untouched = {0, 0, 0, 0, 0, 0, -1, -1, no_thread, false, false, 0, 0};

struct Shadow {
  uintptr_t begin, end;
  bool is_shared;
  const char* name;
  std::vector<Cell> cells;
};
inline std::vector<Shadow> shadows;

// Blocks that have done an atomic operation after a __threadfence: what they wrote is ordered
// before what a block reads after an atomic operation of its own ("the last block adds up").
inline std::vector<bool> published;
inline bool fenced, acquired;

inline int find_segment_of(dl_phdr_info* info, size_t, void*) {
  Segment found = {~0ull, 0};
  const ElfW(Phdr)* local = nullptr;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    uintptr_t begin = info->dlpi_addr + header.p_vaddr;
    if (header.p_type == PT_TLS) local = &header;
    if (header.p_type != PT_LOAD) continue;
    found.begin = begin < found.begin ? begin : found.begin;
    found.end = begin + header.p_memsz > found.end ? begin + header.p_memsz : found.end;
  }
  if (!found.contains((uintptr_t)&state)) return 0;
  image = found;
  state.shared_begin = (uintptr_t)info->dlpi_tls_data;
  state.shared_end = state.shared_begin + local->p_memsz;
  return 1;
}

// Find where this module and its shared variables lie.
inline void find_segments() { dl_iterate_phdr(find_segment_of, nullptr); }

inline void add_shadow(uintptr_t begin, uintptr_t end, bool is_shared, const char* name) {
  shadows.push_back({begin, end, is_shared, name, std::vector<Cell>(end - begin, untouched)});
}

inline void begin_checks() {
  const Request& r = *state.request;
  shadows.clear();
  uintptr_t dynamic = (uintptr_t)smem;
  add_shadow(dynamic, dynamic + r.shared_bytes, true, "dynamic shared memory");
  for (int i = 0; i < r.shared_variables; i++) {
    const Buffer& v = r.shared_variable[i];
    add_shadow(state.shared_begin + v.begin, state.shared_begin + v.end, true, v.name);
  }
  for (int i = 0; i < r.buffers; i++) {
    add_shadow(r.buffer[i].begin, r.buffer[i].end, false, r.buffer[i].name);
  }
  published.assign(state.grid.x * state.grid.y * state.grid.z, false);
}

inline void begin_block() {
  fenced = acquired = false;
  for (Shadow& shadow : shadows) {
    if (shadow.is_shared) shadow.cells.assign(shadow.cells.size(), untouched);
  }
}

// Whether what `thread` of `block` did in these epochs is ordered before what runs now.
inline bool is_ordered(int block, int thread, unsigned epoch, unsigned warp_epoch) {
  if (block != state.block_number) return published[block] && acquired;
  if (thread == self->number || epoch < state.epoch) return true;
  return thread / lanes == self->warp && warp_epoch < state.warp[self->warp].epoch;
}

inline bool reads_are_ordered(const Cell& c) {
  switch (c.readers) {
    case no_thread:
      return true;
    case one_thread:
    case one_warp: {
      bool mine = c.readers == one_thread && c.reader_block == state.block_number &&
                  c.reader == self->number;
      // Another number of the same warp, so that "the same thread" does not hold for a whole warp.
      int thread = c.reader == self->number ? (c.reader ^ 1) : c.reader;
      return mine || is_ordered(c.reader_block, thread, c.read_epoch, c.read_warp_epoch);
    }
    case one_block:
      return c.reader_block == state.block_number ? c.read_epoch < state.epoch
                                                  : published[c.reader_block] && acquired;
    case several_blocks:
      return false;
  }
  return false;
}

inline void note_read(Cell& c) {
  bool same_block = c.reader_block == state.block_number;
  bool same_warp = same_block && c.reader / lanes == self->warp;
  if (reads_are_ordered(c)) {
    c.readers = one_thread;
  } else if (c.readers == several_blocks || !same_block) {
    c.readers = several_blocks;
  } else {
    c.readers = same_warp && c.readers != one_block ? one_warp : one_block;
  }
  c.reader = self->number;
  c.reader_block = state.block_number;
  c.read_epoch = state.epoch;
  c.read_warp_epoch = state.warp[self->warp].epoch;
}

inline void note_write(Cell& c) {
  c = untouched;
  c.writer = self->number;
  c.writer_block = state.block_number;
  c.write_epoch = state.epoch;
  c.write_warp_epoch = state.warp[self->warp].epoch;
  c.writer_fences = self->proxy_fences;
}

inline bool was_before_a_barrier(const Cell& c) {
  return c.writer_block != state.block_number || c.write_epoch < state.epoch ||
         c.write_warp_epoch < state.warp[self->warp].epoch;
}

inline void check_byte(const Shadow& s, Cell& c, Access access, const void* caller) {
  size_t at = &c - s.cells.data();
  if (c.in_flight) {
    fail_at(caller, "%s + %zu is still written by an asynchronous copy; a wait is missing", s.name,
            at);
  }
  if (access != Access::read && c.products) {
    fail_at(caller, "writes %s + %zu, which a product in flight reads; wgmma_wait is missing",
            s.name, at);
  }
  if (access != Access::write && s.is_shared && c.writer < 0) {
    fail_at(caller, "reads %s + %zu, which nobody wrote", s.name, at);
  }
  const char* verb = access == Access::read ? "reads" : "writes";
  bool both_atomic = access == Access::atomic && c.atomic;
  if (!both_atomic && c.writer >= 0 &&
      !is_ordered(c.writer_block, c.writer, c.write_epoch, c.write_warp_epoch)) {
    fail_at(caller, "race: %s %s + %zu, which thread %d of block %d wrote, with no barrier between",
            verb, s.name, at, c.writer, c.writer_block);
  }
  if (access == Access::read) {
    note_read(c);
    return;
  }
  if (!reads_are_ordered(c)) {
    fail_at(caller,
            "race: writes %s + %zu, which thread %d of block %d read, with no barrier between",
            s.name, at, c.reader, c.reader_block);
  }
  // An atomic operation does not hide what its thread has just written otherwise.
  bool hides = c.writer < 0 || both_atomic || was_before_a_barrier(c);
  note_write(c);
  c.atomic = access == Access::atomic && hides;
}

[[noreturn]] inline void fail_outside(uintptr_t address, size_t bytes, Access access,
                                      const void* caller) {
  const char* name = "any array";
  const char* side = "outside";
  uintptr_t nearest = ~0ull;
  for (const Shadow& s : shadows) {
    bool before = address < s.begin;
    uintptr_t distance = before ? s.begin - address : address - s.end;
    if (distance >= nearest || s.begin == s.end) continue;
    nearest = distance;
    name = s.name;
    side = before ? "before" : "past the end of";
  }
  fail_at(caller, "out of bounds: %s %zu bytes, %zu bytes %s %s",
          access == Access::read ? "reads" : "writes", bytes, (size_t)nearest, side, name);
}

// The array that an access lies in, or null where there is nothing to check.
inline Shadow* shadow_of(const void* address, size_t bytes, Access access, const void* caller) {
  if (!self || !state.request->check) return nullptr;
  uintptr_t a = (uintptr_t)address, stacks = (uintptr_t)state.stacks;
  if (a - stacks < max_threads * stack_bytes || image.contains(a)) return nullptr;
  for (Shadow& s : shadows) {
    if (a < s.begin || a >= s.end) continue;
    if (a + bytes > s.end) {
      fail_at(caller, "out of bounds: %s %zu bytes, %zu of them past the end of %s",
              access == Access::read ? "reads" : "writes", bytes, (size_t)(a + bytes - s.end),
              s.name);
    }
    return &s;
  }
  fail_outside(a, bytes, access, caller);
}

// Check an access of the running thread, and remember it.
inline void check_access(const void* address, size_t bytes, Access access, const void* caller) {
  Shadow* shadow = shadow_of(address, bytes, access, caller);
  if (!shadow) return;
  uintptr_t a = (uintptr_t)address;
  bool one_value = bytes <= 16 && !(bytes & (bytes - 1));
  if (one_value && a % bytes) {
    fail_at(caller, "misaligned: %zu bytes at %s + %zu", bytes, shadow->name,
            (size_t)(a - shadow->begin));
  }
  Cell* cells = &shadow->cells[a - shadow->begin];
  for (size_t i = 0; i < bytes; i++) check_byte(*shadow, cells[i], access, caller);
  if (state.request->statistics) {
    log_access(a, bytes, shadow->is_shared, access != Access::read, caller);
  }
}

// Say that an asynchronous copy has begun or ended to write 16 bytes.
inline void set_in_flight(const void* address, bool in_flight, const void* caller) {
  Shadow* shadow = shadow_of(address, 16, Access::write, caller);
  if (!shadow) return;
  Cell* cells = &shadow->cells[(uintptr_t)address - shadow->begin];
  for (int i = 0; i < 16; i++) {
    note_write(cells[i]);
    cells[i].in_flight = in_flight;
  }
}

// Say that a product begins or ends to read 16 bytes of a tile, by the asynchronous proxy.
inline void read_by_product(const void* address, bool begins, const void* caller) {
  Shadow* shadow = shadow_of(address, 16, Access::read, caller);
  if (!shadow) return;
  Cell* cells = &shadow->cells[(uintptr_t)address - shadow->begin];
  for (int i = 0; i < 16; i++) {
    Cell& c = cells[i];
    check_byte(*shadow, c, Access::read, caller);
    if (c.writer_fences == state.thread[c.writer].proxy_fences) {
      fail_at(caller,
              "a product reads %s + %zu, which thread %d wrote with no fence_async_proxy since",
              shadow->name, (size_t)(&c - shadow->cells.data()), c.writer);
    }
    c.products += begins ? 1 : -1;
  }
}

inline void check_atomic(const void* address, size_t bytes, const void* caller) {
  check_access(address, bytes, Access::atomic, caller);
  if (!state.request->check) return;
  if (fenced) published[state.block_number] = true;
  acquired = true;
}

void fence() { fenced = true; }
}  // namespace hostcuda
