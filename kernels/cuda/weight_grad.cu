// The gradient of a convolution's weights on tensor cores: dw[f][tap][c] is the sum over pixels p
// of dy[p][f] x[the cell that tap takes to p][c], a product of matrices whose depth is the pixels.
// Both operands lie with the numbers of a pixel side by side, so their fragments are read
// transposed.
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

// What a lane reads of 16 columns from `column` on of a tile, in quarters: the columns' numbers of
// a step of pixels, as fragments have them. The second quarter has later pixels (DOWN) or columns.
template <class T, int COUNT, bool DOWN>
struct Reader {
  int at[2];  // numbers from a step's first row; of 16 bits one address does

  DEVICE void begin(int column, int lane) {
    if constexpr (sizeof(T) == 2) {
      int below = DOWN ? lane / 8 % 2 : lane / 16, beside = DOWN ? lane / 16 : lane / 8 % 2;
      at[0] = place<T, COUNT>(below * 8 + lane % 8, column / PIECE<T> + beside) * PIECE<T>;
    } else {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        int to = column + i * 8 + lane / 4;
        at[i] = place<T, COUNT>(lane % 4, to / PIECE<T>) * PIECE<T> + to % PIECE<T>;
      }
    }
  }
  DEVICE void read(uint32_t (&r)[4], const T* tile, int row) const {
    tile += row * COUNT * PIECE<T>;
    if constexpr (sizeof(T) == 2) {
      ldmatrix_x4_trans(r, tile + at[0]);
    } else {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        int below = DOWN ? i % 2 : i / 2, beside = DOWN ? i / 2 : i % 2;
        r[i] = __float_as_uint(tile[below * 4 * COUNT * PIECE<T> + at[beside]]);
      }
    }
  }
};

// parts (splits, groups filters, taps, channels), each the sum over some of the pixels. A block has
// BM filters and BN of taps by channels; blockIdx.z is a split and a group. Three blocks of 64
// leave registers enough: for more of them the compiler would put some into memory.
template <class P, int BM, int BN>
__global__ void __launch_bounds__(BN * 2, BN > 64 ? 0 : 3)
    weight_grad(const typename P::Type* __restrict__ dy, int dy_pitch,
                const typename P::Type* __restrict__ x, int x_pitch, float* __restrict__ parts,
                Window s, Sizes of) {
  typedef typename P::Type T;
  constexpr int THREADS = BN * 2, WM = BM / 2, WN = 32, TM = WM / 16, TN = WN / 8;
  constexpr int LEFT = BM / PIECE<T>, RIGHT = BN / PIECE<T>, STAGE = ROWS<T> * (LEFT + RIGHT);
  constexpr int LEFT_ROWS = THREADS / LEFT, RIGHT_ROWS = THREADS / RIGHT;  // copied at once
  constexpr int STEP = 32 / sizeof(T);                                     // pixels of a product
  static_assert(ROWS<T> % LEFT_ROWS == 0 && ROWS<T> % RIGHT_ROWS == 0);
  static_assert(LEFT_ROWS % 8 == 0 && RIGHT_ROWS % 8 == 0);  // as far apart rows are turned alike
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

  // A thread copies one piece of several rows, of pixels below these limits.
  const int left_limit = filter < of.filters ? of.pixels : 0;
  const int right_limit = column < columns ? of.pixels : 0;
  const int left_to = place<T, LEFT>(t / LEFT, t % LEFT);
  const int right_to = ROWS<T> * LEFT + place<T, RIGHT>(t / RIGHT, t % RIGHT);
  int to_stage = 0;
  auto load = [&](int step) {
    uint4* to = pieces + to_stage * STAGE;
    to_stage = to_stage == STAGES - 1 ? 0 : to_stage + 1;
#pragma unroll
    for (int i = 0; i < ROWS<T> / LEFT_ROWS; i++) {
      int pixel = step * ROWS<T> + t / LEFT + i * LEFT_ROWS;
      bool inside = pixel < left_limit;
      const T* from = delta + (inside ? pixel * dy_pitch : 0);
      cp_async16(to + left_to + i * LEFT_ROWS * LEFT, from, inside);
    }
#pragma unroll
    for (int i = 0; i < ROWS<T> / RIGHT_ROWS; i++) {
      int pixel = step * ROWS<T> + t / RIGHT + i * RIGHT_ROWS;
      int high = at[i].row * s.down + above, across = at[i].col * s.right + beside;
      bool inside = pixel < right_limit && (unsigned)high < (unsigned)s.h &&
                    (unsigned)across < (unsigned)s.w;
      int cell = (at[i].image * s.h + high) * s.w + across;
      const T* from = cells + (inside ? cell * x_pitch : 0);
      cp_async16(to + right_to + i * RIGHT_ROWS * RIGHT, from, inside);
      at[i].advance(by, s);
    }
  };

  Reader<T, LEFT, false> left_at[TM];
  Reader<T, RIGHT, true> right_at[TN / 2];
#pragma unroll
  for (int i = 0; i < TM; i++) left_at[i].begin(warp_row + i * 16, lane);
#pragma unroll
  for (int j = 0; j < TN / 2; j++) right_at[j].begin(warp_column + j * 16, lane);
  int from_stage = 0;
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
    const T* from_left = (const T*)(pieces + from_stage * STAGE);
    from_stage = from_stage == STAGES - 1 ? 0 : from_stage + 1;
    const T* from_right = from_left + ROWS<T> * BM;
#pragma unroll
    for (int row = 0; row < ROWS<T>; row += STEP) {
      typename P::Left left[TM];
      typename P::Right right[TN / 2][2];
      uint32_t r[4];
#pragma unroll
      for (int i = 0; i < TM; i++) {
        left_at[i].read(r, from_left, row);
        left[i] = P::left(r);
      }
#pragma unroll
      for (int j = 0; j < TN / 2; j++) {
        right_at[j].read(r, from_right, row);
        right[j][0] = P::right(r[0], r[1]);
        right[j][1] = P::right(r[2], r[3]);
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
