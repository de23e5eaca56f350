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
  unsigned device_fences;  // and its __threadfence
};
constexpr Cell untouched = {0, 0, 0, 0, 0, 0, -1, -1, no_thread, false, false, 0, 0, 0};

struct Shadow {
  uintptr_t begin, end;
  bool is_shared, restricted;
  const char* name;
  std::vector<Cell> cells;
};
inline std::vector<Shadow> shadows;

// What a block has given over to others by atomic operations: all before a barrier that the thread
// of one had fenced after, and of each thread what it had fenced itself before that barrier.
struct Publication {
  unsigned epoch;
  std::vector<unsigned> fences;
};
inline std::vector<Publication> published;

// Whether this thread may see what others have given over: it, or one before a barrier, has done an
// atomic operation, and a __threadfence since ("the last block adds up").
inline bool has_acquired() { return self->acquired || state.acquired; }

inline bool is_released(const Publication& by, int thread, unsigned epoch, unsigned fences) {
  return epoch < by.epoch || ((size_t)thread < by.fences.size() && fences < by.fences[thread]);
}

inline void publish() {
  Publication& own = published[state.block_number];
  if (self->fences > self->fences_at_barrier) own.epoch = state.epoch;
  own.fences.resize(state.threads);
  for (int i = 0; i < state.threads; i++) {
    const Thread& t = state.thread[i];
    own.fences[i] = std::max(own.fences[i], &t == self ? t.fences : t.fences_at_barrier);
  }
}

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

inline void add_shadow(const Buffer& b, bool is_shared) {
  std::vector<Cell> cells(b.end - b.begin, untouched);
  shadows.push_back({b.begin, b.end, is_shared, b.restricted != 0, b.name, std::move(cells)});
}

inline void begin_checks() {
  const Request& r = *state.request;
  shadows.clear();
  uintptr_t dynamic = (uintptr_t)smem;
  add_shadow({dynamic, dynamic + r.shared_bytes, "dynamic shared memory", false}, true);
  for (int i = 0; i < r.shared_variables; i++) {
    const Buffer& v = r.shared_variable[i];
    add_shadow({state.shared_begin + v.begin, state.shared_begin + v.end, v.name, false}, true);
  }
  for (int i = 0; i < r.buffers; i++) add_shadow(r.buffer[i], false);
  published.assign(state.grid.x * state.grid.y * state.grid.z, {});
}

inline void begin_block() {
  for (Shadow& shadow : shadows) {
    if (shadow.is_shared) shadow.cells.assign(shadow.cells.size(), untouched);
  }
}

// Whether what `thread` of `block` did in these epochs is ordered before what runs now. `fences` is
// how many __threadfence it had done.
inline bool is_ordered(int block, int thread, unsigned epoch, unsigned warp_epoch,
                       unsigned fences) {
  if (block != state.block_number) {
    return is_released(published[block], thread, epoch, fences) && has_acquired();
  }
  if (thread == self->number || epoch < state.epoch) return true;
  return thread / lanes == self->warp && warp_epoch < state.warp[self->warp].epoch;
}

// Whether what a block has read, whenever it was, may be written now.
inline bool has_published(int block) { return published[block].fences.size() && has_acquired(); }

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
      if (c.reader_block != state.block_number) return has_published(c.reader_block);
      return mine || is_ordered(c.reader_block, thread, c.read_epoch, c.read_warp_epoch, 0);
    }
    case one_block:
      return c.reader_block == state.block_number ? c.read_epoch < state.epoch
                                                  : has_published(c.reader_block);
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
  c.device_fences = self->fences;
}

inline bool was_before_a_barrier(const Cell& c) {
  return c.writer_block != state.block_number || c.write_epoch < state.epoch ||
         c.write_warp_epoch < state.warp[self->warp].epoch;
}

inline bool is_mine(int block, int thread) {
  return block == state.block_number && thread == self->number;
}

// Whether another thread is known to have written a byte, or read what is to be written.
inline bool is_shared_with_others(const Cell& c, Access access) {
  if (c.writer >= 0 && !is_mine(c.writer_block, c.writer)) return true;
  if (access == Access::read || c.readers == no_thread) return false;
  return c.readers != one_thread || !is_mine(c.reader_block, c.reader);
}

inline void refuse_restricted(const Shadow& s, const Cell& c, Access access, const void* caller) {
  if (!s.restricted || !is_shared_with_others(c, access)) return;
  fail_at(caller,
          "%s + %zu goes from thread to thread and is __restrict__: a compiler may move what is "
          "done to it across barriers",
          s.name, &c - s.cells.data());
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
      !is_ordered(c.writer_block, c.writer, c.write_epoch, c.write_warp_epoch, c.device_fences)) {
    fail_at(caller, "race: %s %s + %zu, which thread %d of block %d wrote, with no barrier between",
            verb, s.name, at, c.writer, c.writer_block);
  }
  if (access == Access::read) {
    refuse_restricted(s, c, access, caller);
    note_read(c);
    return;
  }
  if (!reads_are_ordered(c)) {
    fail_at(caller,
            "race: writes %s + %zu, which thread %d of block %d read, with no barrier between",
            s.name, at, c.reader, c.reader_block);
  }
  refuse_restricted(s, c, access, caller);
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
  Shadow* shadow = shadow_of(address, bytes, Access::atomic, caller);
  if (!shadow || shadow->is_shared) return;
  publish();
  self->counted = true;
}

void fence() {
  self->fences++;
  self->acquired |= self->counted || state.counted;
}
}  // namespace hostcuda
