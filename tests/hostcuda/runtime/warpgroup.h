// Products of a warpgroup (wgmma): each warp computes its 16 rows, at once (eager) or at the wait
// for them. Until then its registers are NaN, and in check mode nobody may write to the tiles.
#pragma once
#include "matrix.h"

namespace hostcuda {
constexpr int row_bytes = 128, step_bytes = 32, rows_of_warp = 16;

// What a lane takes part in a product with.
struct Part {
  float* d;
  unsigned long long a, b;
  const void* caller;
  int columns;
  Format format;
};

// A piece of 16 bytes of a row: as the device finds it, by the bits of its address.
inline const unsigned char* piece_of(unsigned long long tile, int row, int piece) {
  unsigned begin = (tile & 0x3FFF) << 4, eight_rows = (tile >> 32 & 0x3FFF) << 4;
  unsigned at = begin + row / 8 * eight_rows + row % 8 * row_bytes + piece * 16;
  return smem + (at ^ (at >> 7 & 7) << 4);
}

template <class Visit>
void each_piece(const Product& p, Visit visit) {
  int first = self->warp % (warpgroup / lanes) * rows_of_warp;
  for (int piece = 0; piece < step_bytes / 16; piece++) {
    for (int row = 0; row < rows_of_warp; row++) visit(piece_of(p.a, first + row, piece));
    for (int row = 0; row < p.columns; row++) visit(piece_of(p.b, row, piece));
  }
}

template <class Number>
void numbers_of(unsigned long long tile, int row, float* to, int step) {
  for (int piece = 0; piece < step_bytes / 16; piece++) {
    uint32_t words[4];
    memcpy(words, piece_of(tile, row, piece), 16);
    for (uint32_t word : words) {
      for (int e = 0; e < Number::per_register; e++, to += step) *to = Number::at(word, e);
    }
  }
}

template <class Number>
void compute(const Product& p) {
  constexpr int depth = step_bytes / 4 * Number::per_register, most = 256;
  static float a[rows_of_warp][depth], b[depth][most], sum[most];
  int first = self->warp % (warpgroup / lanes) * rows_of_warp;
  for (int i = 0; i < rows_of_warp; i++) numbers_of<Number>(p.a, first + i, a[i], 1);
  for (int j = 0; j < p.columns; j++) numbers_of<Number>(p.b, j, &b[0][j], most);
  float* sums[lanes];
  for (int l = 0; l < lanes; l++) {
    sums[l] = state.thread[self->warp * lanes + l].sums[p.d[l]].data();
  }
  for (int i = 0; i < rows_of_warp; i++) {
    auto at = [&](int j) -> float& {
      return sums[i % 8 * 4 + j / 2 % 4][j / 8 * 4 + i / 8 * 2 + j % 2];
    };
    for (int j = 0; j < p.columns; j++) sum[j] = at(j);
    for (int k = 0; k < depth; k++) {
      for (int j = 0; j < p.columns; j++) sum[j] += a[i][k] * b[k][j];
    }
    for (int j = 0; j < p.columns; j++) at(j) = sum[j];
  }
}

inline void compute(const Product& p) {
  switch (p.format) {
    case Format::f16:
      return compute<Float16>(p);
    case Format::bf16:
      return compute<Bfloat16>(p);
    case Format::tf32:
      return compute<Tf32>(p);
  }
}

inline bool is_same(const Product& p, const Product& q) {
  return p.a == q.a && p.b == q.b && p.columns == q.columns && p.format == q.format;
}

// All four warps of a group issue the same products.
inline void refuse_other_product(const Product& p) {
  auto& sequence = state.sequence[self->number / warpgroup];
  size_t number = state.warp[self->warp].issued++;
  if (number == sequence.size()) sequence.push_back(p);
  if (!is_same(sequence[number], p)) {
    fail_at(p.caller, "the warps of a warpgroup issue different products");
  }
}

inline void issue(unsigned, Thread* lane) {
  const Part& first = operand_of<Part>(lane[0]);
  Product p = {first.format, first.columns, first.a, first.b, {}, first.caller};
  for (int l = 0; l < lanes; l++) {
    const Part& part = operand_of<Part>(lane[l]);
    p.d[l] = part.d;
    if (!is_same(p, {part.format, part.columns, part.a, part.b, {}, nullptr})) {
      fail_at(p.caller, "the lanes of a warp issue different products");
    }
  }
  refuse_other_product(p);
  each_piece(p, [&](const void* piece) { read_by_product(piece, true, p.caller); });
  if (state.request->eager) compute(p);
  state.warp[lane->warp].products.push_back(p);
}

// Take over a lane's registers, unless an earlier product has them.
inline void take_registers(float* d, int count, const void* caller) {
  auto [found, is_new] = self->sums.try_emplace(d);
  if (is_new) {
    if (!self->registers_fenced) {
      fail_at(caller, "the registers of a product come from elsewhere; wgmma_fence is missing");
    }
    found->second.assign(d, d + count);
  }
  for (int i = 0; i < count; i++) {
    if (!is_new && hostcuda_bits<uint32_t>(d[i]) != ~0u) {
      fail_at(caller, "the registers of a product in flight were written; wgmma_wait is missing");
    }
  }
  memset(d, 0xFF, count * sizeof *d);
}

void begin_product(const char* name, Format format, float* d, int columns, unsigned long long a,
                   unsigned long long b) {
  const void* caller = HOSTCUDA_CALLER;
  if (state.threads % warpgroup) fail_at(caller, "%s: the block is not of whole warpgroups", name);
  take_registers(d, columns / 2, caller);
  operand_of<Part>(*self) = {d, a, b, caller, columns, format};
  collective_of_all(name, issue);
}

inline void commit(unsigned, Thread* lane) {
  Warp& warp = state.warp[lane->warp];
  warp.groups.push_back(std::move(warp.products));
  warp.products.clear();
}

inline bool is_in_flight(const Warp& warp, int lane, const float* d) {
  auto uses = [&](const Product& p) { return p.d[lane] == d; };
  for (const auto& group : warp.groups) {
    if (std::any_of(group.begin(), group.end(), uses)) return true;
  }
  return std::any_of(warp.products.begin(), warp.products.end(), uses);
}

// Give the lanes of a warp the registers that no product uses any more.
inline void give_back_registers(const Warp& warp, Thread* lane) {
  for (int l = 0; l < lanes; l++) {
    auto& sums = lane[l].sums;
    for (auto one = sums.begin(); one != sums.end();) {
      if (is_in_flight(warp, l, one->first)) {
        one++;
        continue;
      }
      std::copy(one->second.begin(), one->second.end(), one->first);
      one = sums.erase(one);
      lane[l].registers_fenced = false;
    }
  }
}

inline void retire(unsigned, Thread* lane) {
  Warp& warp = state.warp[lane->warp];
  while (warp.groups.size() > (size_t)operand_of<int>(*lane)) {
    for (const Product& p : warp.groups.front()) {
      if (!state.request->eager) compute(p);
      each_piece(p, [&](const void* piece) { read_by_product(piece, false, p.caller); });
    }
    warp.groups.erase(warp.groups.begin());
  }
  give_back_registers(warp, lane);
}

void wait_for_products(int groups_left) {
  operand_of<int>(*self) = groups_left;
  collective_of_all("wgmma_wait", retire);
}
}  // namespace hostcuda

unsigned long long wgmma_tile(const void* tile, int bytes) {
  using namespace hostcuda;
  const void* caller = HOSTCUDA_CALLER;
  size_t at = (const unsigned char*)tile - smem;
  if (at >= state.request->shared_bytes) fail_at(caller, "a tile is not in dynamic shared memory");
  if (at % 1024) fail_at(caller, "misaligned: a tile begins at a multiple of 1024 bytes");
  if (bytes % step_bytes || bytes < 0 || bytes >= row_bytes) {
    fail_at(caller, "a tile is read from byte 0, 32, 64 or 96 of its rows on, not from %d", bytes);
  }
  return (at + bytes) >> 4 | 1024ull >> 4 << 32 | 1ull << 62;
}

void fence_async_proxy() { hostcuda::self->proxy_fences++; }

void wgmma_fence() {
  hostcuda::collective_of_all("wgmma_fence", [](unsigned, hostcuda::Thread* lane) {
    for (int l = 0; l < hostcuda::lanes; l++) lane[l].registers_fenced = true;
  });
}

void wgmma_commit() { hostcuda::collective_of_all("wgmma_commit", hostcuda::commit); }
