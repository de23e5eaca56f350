// The gradient of a convolution's weights on tensor cores: dw[f][tap][c] is the sum over pixels p of
// dy[p][f] x[the cell that tap takes to p][c], a product of matrices whose depth is the pixels. Both
// operands lie with the numbers of a pixel side by side, so their fragments are read transposed.
#include "operand.cuh"
#include "window.cuh"

// Of a group: its filters, and its channels with their padding. `pixels` of dy; a block takes
// `share` steps of ROWS pixels of them.
struct Sizes {
  int filters, channels, groups, pixels, share;
};

template <class T>
constexpr int ROWS = 64 / (int)sizeof(T);  // pixels at a time
constexpr int STAGES = 3;

// Where a piece of a row of COUNT pieces lies, so turned that no bank is asked twice: of 16 bits,
// eight rows' pieces lie in all banks (ldmatrix); of 32, eight numbers each of four rows do.
template <class T, int COUNT>
DEVICE int place(int row, int piece) {
  int turn = sizeof(T) == 4 ? 2 * (row & 3) : COUNT < 8 ? row / 2 & 3 : row & 7;
  return row * COUNT + (piece ^ turn);
}

// The place of a pixel among those of its picture, and what is added to reach one ROWS later.
struct Pixel {
  int col, row, image;

  DEVICE static Pixel of(int index, const Window& s) {
    return {index % s.cols, index / s.cols % s.rows, index / s.cols / s.rows};
  }
  DEVICE void advance(const Pixel& by, const Window& s) {
    col += by.col;
    bool over = col >= s.cols;
    col -= over ? s.cols : 0;
    row += by.row + over;
    over = row >= s.rows;
    row -= over ? s.rows : 0;
    image += by.image + over;
  }
};

// The fragment of 16 filters by a step of pixels from `row` on.
template <class P, int COUNT>
DEVICE typename P::Left left_of(const typename P::Type* tile, int row, int column, int lane) {
  typedef typename P::Type T;
  uint32_t r[4];
  if constexpr (sizeof(T) == 2) {
    int piece = column / PIECE<T> + lane / 8 % 2;
    int at = place<T, COUNT>(row + lane / 16 * 8 + lane % 8, piece);
    ldmatrix_x4_trans(r, tile + at * PIECE<T>);
  } else {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int at = column + i % 2 * 8 + lane / 4;
      int from = place<T, COUNT>(row + i / 2 * 4 + lane % 4, at / PIECE<T>);
      r[i] = __float_as_uint(tile[from * PIECE<T> + at % PIECE<T>]);
    }
  }
  return P::left(r);
}

// The fragments of twice 8 columns by a step of pixels from `row` on.
template <class P, int COUNT>
DEVICE void right_of(typename P::Right (&to)[2], const typename P::Type* tile, int row, int column,
                     int lane) {
  typedef typename P::Type T;
  uint32_t r[4];
  if constexpr (sizeof(T) == 2) {
    int at = place<T, COUNT>(row + lane % 16, column / PIECE<T> + lane / 16);
    ldmatrix_x4_trans(r, tile + at * PIECE<T>);
  } else {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      int at = column + i / 2 * 8 + lane / 4;
      int from = place<T, COUNT>(row + i % 2 * 4 + lane % 4, at / PIECE<T>);
      r[i] = __float_as_uint(tile[from * PIECE<T> + at % PIECE<T>]);
    }
  }
  to[0] = P::right(r[0], r[1]);
  to[1] = P::right(r[2], r[3]);
}

// parts (splits, groups filters, taps, channels), each the sum over some of the pixels. A block has
// BM filters and BN of taps by channels; blockIdx.z is a split and a group.
template <class P, int BM, int BN>
__global__ void __launch_bounds__(BN * 2)
    weight_grad(const typename P::Type* __restrict__ dy, int dy_pitch,
                const typename P::Type* __restrict__ x, int x_pitch, float* __restrict__ parts,
                Window s, Sizes of) {
  typedef typename P::Type T;
  constexpr int THREADS = BN * 2, WM = BM / 2, WN = 32, TM = WM / 16, TN = WN / 8;
  constexpr int LEFT = BM / PIECE<T>, RIGHT = BN / PIECE<T>, STAGE = ROWS<T> * (LEFT + RIGHT);
  constexpr int LEFT_ROWS = THREADS / LEFT, RIGHT_ROWS = THREADS / RIGHT;  // copied at once
  constexpr int STEP = 32 / sizeof(T);                                     // pixels of a product
  static_assert(ROWS<T> % LEFT_ROWS == 0 && ROWS<T> % RIGHT_ROWS == 0);
  extern __shared__ __align__(1024) unsigned char smem[];
  uint4* pieces = (uint4*)smem;
  const int t = threadIdx.x, lane = t % 32, warp = t / 32;
  const int warp_row = warp / (BN / WN) * WM, warp_column = warp % (BN / WN) * WN;
  const int group = blockIdx.z % of.groups, split = blockIdx.z / of.groups;
  const int columns = s.high * s.wide * of.channels;
  const int steps = (of.pixels + ROWS<T> - 1) / ROWS<T>;
  const int begin = min(split * of.share, steps), end = min(begin + of.share, steps);

  const int filter = blockIdx.y * BM + t % LEFT * PIECE<T>;
  const T* delta = dy + group * of.filters + filter;
  const int column = blockIdx.x * BN + t % RIGHT * PIECE<T>;
  const int tap = column / of.channels, channel = column % of.channels;
  const int above = tap / s.wide * s.dilation - s.padding;
  const int beside = tap % s.wide * s.dilation - s.padding;
  const T* cells = x + group * of.channels + channel;
  const Pixel by = Pixel::of(ROWS<T>, s);
  Pixel at[ROWS<T> / RIGHT_ROWS];
#pragma unroll
  for (int i = 0; i < ROWS<T> / RIGHT_ROWS; i++) {
    at[i] = Pixel::of(begin * ROWS<T> + t / RIGHT + i * RIGHT_ROWS, s);
  }

  auto load = [&](int step) {
    uint4* to = pieces + step % STAGES * STAGE;
#pragma unroll
    for (int i = 0; i < ROWS<T> / LEFT_ROWS; i++) {
      int row = t / LEFT + i * LEFT_ROWS, pixel = step * ROWS<T> + row;
      bool inside = pixel < of.pixels && filter < of.filters;
      cp_async16(to + place<T, LEFT>(row, t % LEFT), inside ? delta + pixel * dy_pitch : dy,
                 inside);
    }
    to += ROWS<T> * LEFT;
#pragma unroll
    for (int i = 0; i < ROWS<T> / RIGHT_ROWS; i++) {
      int row = t / RIGHT + i * RIGHT_ROWS;
      int high = at[i].row * s.down + above, across = at[i].col * s.right + beside;
      bool inside = step * ROWS<T> + row < of.pixels && column < columns &&
                    (unsigned)high < (unsigned)s.h && (unsigned)across < (unsigned)s.w;
      int cell = (at[i].image * s.h + high) * s.w + across;
      cp_async16(to + place<T, RIGHT>(row, t % RIGHT), inside ? cells + cell * x_pitch : x,
                 inside);
      at[i].advance(by, s);
    }
  };

  float sum[TM][TN][4] = {};
#pragma unroll
  for (int i = 0; i < STAGES - 1; i++) {
    if (begin + i < end) load(begin + i);
    cp_async_commit();
  }
  for (int step = begin; step < end; step++) {
    cp_async_wait<STAGES - 2>();
    __syncthreads();
    if (step + STAGES - 1 < end) load(step + STAGES - 1);
    cp_async_commit();
    const T* from_left = (const T*)(pieces + step % STAGES * STAGE);
    const T* from_right = from_left + ROWS<T> * BM;
#pragma unroll
    for (int row = 0; row < ROWS<T>; row += STEP) {
      typename P::Left left[TM];
      typename P::Right right[TN / 2][2];
#pragma unroll
      for (int i = 0; i < TM; i++) {
        left[i] = left_of<P, LEFT>(from_left, row, warp_row + i * 16, lane);
      }
#pragma unroll
      for (int j = 0; j < TN / 2; j++) {
        right_of<P, RIGHT>(right[j], from_right, row, warp_column + j * 16, lane);
      }
#pragma unroll
      for (int i = 0; i < TM; i++) {
#pragma unroll
        for (int j = 0; j < TN; j++) P::multiply(sum[i][j], left[i], right[j / 2][j % 2]);
      }
    }
  }
  cp_async_wait<0>();

  float* to = parts + (size_t)blockIdx.z * of.filters * columns;
#pragma unroll
  for (int i = 0; i < TM; i++) {
#pragma unroll
    for (int j = 0; j < TN; j++) {
      int n = blockIdx.x * BN + warp_column + j * 8 + lane % 4 * 2;
#pragma unroll
      for (int e = 0; e < 4; e += 2) {
        int m = blockIdx.y * BM + warp_row + i * 16 + lane / 4 + e * 4;
        if (m >= of.filters || n >= columns) continue;
        *(float2*)(to + (size_t)m * columns + n) = make_float2(sum[i][j][e], sum[i][j][e + 1]);
      }
    }
  }
}
