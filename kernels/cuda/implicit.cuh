// What convolutions as products of matrices have in common: the sums of a block are `BM` pixels by
// `BN` filters, and the operands of each step are gathered from the map as they are needed.
#pragma once
#include "elements.cuh"

// The taps of a window along one axis. The j-th of `count` is row (or column) first + j step of the
// weights, and falls on cell i stride + offset + j delta of the map for output i. count <= 32.
struct Axis {
  int count, first, step, stride, offset, delta;
};

struct Geometry {
  int rows, columns, pitch;              // of the map that is read
  int channels;                          // of a group, as numbers of whole pieces
  int filters;                           // of a group
  int groups;
  int out_rows, out_columns;             // of outputs that this launch computes, of each picture
  int pixels;                            // of all pictures, out_rows * out_columns each
  int window_columns, window;            // columns of the weights' window, and all its taps
  Axis y, x;
  int y_rows, y_columns, y_pitch;        // of the map that is written
  int row_step, column_step, first_row, first_column;  // output (i, j): pixel (i step + first, ..)
  int repeat;                            // and so many beside and below it
  int residual_pitch;
  int residual_first;                    // whether the residual is added before the activation
  int splits;                            // of the sum, over blockIdx.z
};

// One thread's place in the sum, a piece at a time: channel piece, tap; and where it is found.
template <class T>
struct Walk {
  int piece, column, row;  // of the taps
  int map, weights;        // numbers from the first pixel's and from the filter's beginning

  DEVICE void begin(const Geometry& g, int at) {
    int pieces = g.channels / PIECE<T>, tap = at / pieces;
    piece = at % pieces;
    int columns = max(g.x.count, 1);
    row = tap / columns;
    column = tap % columns;
    locate(g);
  }
  DEVICE void advance(const Geometry& g, int by) {
    int pieces = g.channels / PIECE<T>;
    piece += by;
    if (piece < pieces) {
      map += by * PIECE<T>;
      weights += by * PIECE<T>;
      return;
    }
    do {
      piece -= pieces;
      if (++column == g.x.count) {
        column = 0;
        row++;
      }
    } while (piece >= pieces);
    locate(g);
  }
  DEVICE void locate(const Geometry& g) {
    int from_pixel = row * g.y.delta * g.columns + column * g.x.delta;
    int tap = (g.y.first + row * g.y.step) * g.window_columns + g.x.first + column * g.x.step;
    map = from_pixel * g.pitch + piece * PIECE<T>;
    weights = tap * g.channels + piece * PIECE<T>;
  }
};

// One output pixel: where its window begins, and which of its taps lie within the map.
struct Window {
  int base;
  unsigned rows, columns;  // a bit a tap

  DEVICE void begin(const Geometry& g, int pixel) {
    int column = pixel % g.out_columns, rest = pixel / g.out_columns;
    int row = rest % g.out_rows, picture = rest / g.out_rows;
    int top = row * g.y.stride + g.y.offset, left = column * g.x.stride + g.x.offset;
    base = rows = columns = 0;
    if (pixel >= g.pixels) return;
    base = ((picture * g.rows + top) * g.columns + left) * g.pitch;
    for (int j = 0; j < g.y.count; j++) {
      rows |= (unsigned)((unsigned)(top + j * g.y.delta) < (unsigned)g.rows) << j;
    }
    for (int j = 0; j < g.x.count; j++) {
      columns |= (unsigned)((unsigned)(left + j * g.x.delta) < (unsigned)g.columns) << j;
    }
  }
  template <class T>
  DEVICE bool has(const Walk<T>& walk) const {
    return rows >> walk.row & columns >> walk.column & 1;
  }
};

// What a thread copies of both operands: the same piece of ROW of every PASS-th pixel and filter,
// from step to step of the sum the next ROW pieces. Addresses of what is outside are made, not
// read.
template <class T, int ROW, int BM, int BN, int THREADS>
struct Gather {
  static constexpr int PASS = THREADS / ROW, LEFT = BM / PASS, RIGHT = BN / PASS;
  static_assert(BM % PASS == 0 && BN % PASS == 0 && PASS % 8 == 0);
  const T *map, *filters;
  Window windows[LEFT];
  Walk<T> walk;
  int left_pieces;      // of the sum, from the thread's own on
  int pass;             // numbers of PASS filters
  unsigned has_filter;  // a bit each

  // `step` is the first step of the sum.
  DEVICE void begin(const Geometry& g, const T* x, const T* weights, int group, int first_pixel,
                    int first_filter, int step) {
    int row = threadIdx.x / ROW, at = step * ROW + threadIdx.x % ROW;
    int filter_size = g.window * g.channels;
    map = x + group * g.channels;
    filters = weights + (size_t)(group * g.filters + first_filter + row) * filter_size;
    pass = PASS * filter_size;
    has_filter = 0;
#pragma unroll
    for (int i = 0; i < RIGHT; i++) {
      has_filter |= (unsigned)(first_filter + row + i * PASS < g.filters) << i;
    }
#pragma unroll
    for (int i = 0; i < LEFT; i++) windows[i].begin(g, first_pixel + row + i * PASS);
    walk.begin(g, at);
    int pieces = g.channels / PIECE<T>;
    left_pieces = g.y.count * g.x.count * pieces - at;
  }

  // Begin to copy to two tiles, in which the thread's first piece has its place at `place` bytes.
  DEVICE void load(const Geometry& g, unsigned char* left, unsigned char* right, int place) {
    bool more = left_pieces > 0;
#pragma unroll
    for (int i = 0; i < LEFT; i++) {
      const T* from = map + (windows[i].base + walk.map);
      cp_async16(left + place + i * PASS * ROW * 16, from, more & windows[i].has(walk));
    }
    const T* from = filters + walk.weights;
    unsigned inside = more ? has_filter : 0;
#pragma unroll
    for (int i = 0; i < RIGHT; i++, from += pass) {
      cp_async16(right + place + i * PASS * ROW * 16, from, inside >> i & 1);
    }
    left_pieces -= ROW;
    walk.advance(g, ROW);
  }
};

// Where the sum is split, over blockIdx.z: add up the sums of all blocks of a tile, in their order.
// False where another block, the last, does that. `sums` has [tile][split][SUMS * THREADS] floats,
// `arrived` 0 for each tile, before and after; `shared` is a word of shared memory not in use.
template <int SUMS, int THREADS>
DEVICE bool add_splits(float (&sum)[SUMS], float* sums, unsigned* arrived, int splits,
                       unsigned* shared) {
  int tile = blockIdx.y * gridDim.x + blockIdx.x, t = threadIdx.x;
  float* own = sums + (size_t)tile * splits * (SUMS * THREADS) + t;
  float* mine = own + blockIdx.z * (SUMS * THREADS);
#pragma unroll
  for (int i = 0; i < SUMS; i++) mine[i * THREADS] = sum[i];
  __threadfence();
  __syncthreads();
  if (t == 0) *shared = atomicAdd(arrived + tile, 1u) == splits - 1u;
  __syncthreads();
  if (!*shared) return false;
  if (t == 0) arrived[tile] = 0;
  __threadfence();
  __syncthreads();
#pragma unroll
  for (int i = 0; i < SUMS; i++) sum[i] = 0.f;
#pragma unroll 1
  for (int s = 0; s < splits; s++, own += SUMS * THREADS) {
#pragma unroll
    for (int i = 0; i < SUMS; i++) sum[i] += own[i * THREADS];
  }
  return true;
}

// The sums of a block on their way out lie in shared memory, `PITCH<BN>` floats a pixel: rows of
// eight banks' distance, so that the eight rows of a fragment meet in no bank.
template <int BN>
constexpr int PITCH = BN + 8;

// Mean and summed squares of deviations of each filter over the block's pixels, which the batch's
// statistics are made of (Chan et al. 1979): two numbers of each filter for each BM pixels.
template <int BM, int BN, int THREADS>
DEVICE void write_statistics(const float* tile, float* rest, float* partials, const Geometry& g,
                             int first_pixel, int first_filter, int group) {
  constexpr int PARTS = THREADS / BN > 0 ? THREADS / BN : 1, ROWS = BM / PARTS;
  static_assert(THREADS % BN == 0 && BM % PARTS == 0);
  int column = threadIdx.x % BN, part = threadIdx.x / BN, valid = g.pixels - first_pixel;
  int begin = part * ROWS, count = min(max(valid - begin, 0), ROWS);
  float sum = 0.f, squares = 0.f;
  for (int i = 0; i < count; i++) sum += tile[(begin + i) * PITCH<BN> + column];
  float mean = count ? sum / count : 0.f;
  for (int i = 0; i < count; i++) {
    float d = tile[(begin + i) * PITCH<BN> + column] - mean;
    squares += d * d;
  }
  rest[(part * BN + column) * 2] = mean;
  rest[(part * BN + column) * 2 + 1] = squares;
  __syncthreads();
  if (part || first_filter + column >= g.filters) return;
  int seen = count;
  for (int other = 1; other < PARTS; other++) {
    int more = min(max(valid - other * ROWS, 0), ROWS);
    if (!more) break;
    float d = rest[(other * BN + column) * 2] - mean;
    mean += d * more / (seen + more);
    squares += rest[(other * BN + column) * 2 + 1] + d * d * ((float)seen * more / (seen + more));
    seen += more;
  }
  int filters = g.filters * g.groups, filter = group * g.filters + first_filter + column;
  float* to = partials + (size_t)(first_pixel / BM) * 2 * filters;
  to[filter] = mean;
  to[filters + filter] = squares;
}

// Bias, residual, activation; then a piece after another is written where it belongs.
template <class Out, class A, int BM, int BN, int THREADS>
DEVICE void write_tile(const float* tile, const float* bias, const Out* residual, Out* y,
                       const Geometry& g, int first_pixel, int first_filter, int group) {
  constexpr int PIECES = BN / PIECE<Out>;
  for (int i = threadIdx.x; i < BM * PIECES; i += THREADS) {
    int row = i / PIECES, filter = first_filter + i % PIECES * PIECE<Out>;
    int pixel = first_pixel + row, channel = group * g.filters + filter;
    if (pixel >= g.pixels || filter >= g.filters) continue;
    int column = pixel % g.out_columns, above = pixel / g.out_columns;
    int picture = above / g.out_rows;
    int out_row = above % g.out_rows * g.row_step + g.first_row;
    int out_column = column * g.column_step + g.first_column;
    int place = (picture * g.y_rows + out_row) * g.y_columns + out_column;
    Piece<Out> piece;
    if (residual) piece = Piece<Out>::load(residual + place * g.residual_pitch + channel);
#pragma unroll
    for (int j = 0; j < PIECE<Out>; j++) {
      bool inside = filter + j < g.filters;
      float sum = tile[row * PITCH<BN> + i % PIECES * PIECE<Out> + j];
      if (bias && inside) sum += bias[channel + j];
      float add = residual ? piece.at[j] : 0.f;
      if (g.residual_first) sum += add;
      sum = A::value(sum);
      if (!g.residual_first) sum += add;
      piece.at[j] = inside ? sum : 0.f;
    }
    for (int down = 0; down < g.repeat; down++) {
      for (int right = 0; right < g.repeat; right++) {
        piece.store(y + (place + down * g.y_columns + right) * g.y_pitch + channel);
      }
    }
  }
}
