// Convolution of each channel with a window of its own, and its gradients. A thread computes a
// piece of channels at COLUMNS places of a row, so that cells and taps are loaded once for all.
#include "activations.cuh"
#include "window.cuh"

constexpr int COLUMNS = 4;

// taps (size size, padded) of w (channels, 1, size, size); turned: windows turned about.
__global__ void __launch_bounds__(256) pack_taps(const float* __restrict__ w,
                                                 float* __restrict__ taps, int channels,
                                                 int padded, int area, int turned) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= area * padded) return;
  int tap = i / padded, channel = i % padded;
  int from = turned ? area - 1 - tap : tap;
  taps[i] = channel < channels ? w[channel * area + from] : 0.f;
}

// Add to the sums of neighbouring places what a row of their windows gives. The window is SIZE
// wide and not dilated, and places are RIGHT cells apart; with SIZE 0 it is as s says.
// x, taps: of this piece of channels, at the first cell of the row and at the row's first tap
template <class T, int SIZE, int RIGHT>
DEVICE void add_row(float (&sum)[COLUMNS][PIECE<T>], const T* x, int x_pitch, const float* taps,
                    int padded, int left, const Window& s) {
  if constexpr (SIZE > 0) {
    float tap[SIZE][PIECE<T>];
#pragma unroll
    for (int b = 0; b < SIZE; b++) load_floats(tap[b], taps + b * padded);
    int start = left * RIGHT - s.padding;
#pragma unroll
    for (int at = 0; at < (COLUMNS - 1) * RIGHT + SIZE; at++) {
      if ((unsigned)(start + at) >= (unsigned)s.w) continue;
      Piece<T> cell = Piece<T>::load(x + (start + at) * x_pitch);
#pragma unroll
      for (int o = 0; o < COLUMNS; o++) {
        int b = at - o * RIGHT;
        if (b < 0 || b >= SIZE) continue;
#pragma unroll
        for (int j = 0; j < PIECE<T>; j++) sum[o][j] += cell.at[j] * tap[b][j];
      }
    }
  } else {
    for (int b = 0; b < s.wide; b++) {
      float tap[PIECE<T>];
      load_floats(tap, taps + b * padded);
#pragma unroll
      for (int o = 0; o < COLUMNS; o++) {
        int column = (left + o) * s.right - s.padding + b * s.dilation;
        if ((unsigned)column >= (unsigned)s.w) continue;
        Piece<T> cell = Piece<T>::load(x + column * x_pitch);
#pragma unroll
        for (int j = 0; j < PIECE<T>; j++) sum[o][j] += cell.at[j] * tap[j];
      }
    }
  }
}

template <class T, class Out, class A, Residual RESIDUAL, int SIZE, int RIGHT>
__global__ void __launch_bounds__(128, 4)
    depthwise(const T* __restrict__ x, int x_pitch, const float* __restrict__ taps,
              const float* __restrict__ bias, const Out* r, int r_pitch,
              Out* y, int y_pitch, Window s, int channels, int pieces, int count) {
  int i = blockIdx.x * 128 + threadIdx.x;
  if (i >= count) return;
  int strips = (s.cols + COLUMNS - 1) / COLUMNS, padded = pieces * PIECE<T>;
  int first = i % pieces * PIECE<T>, left = i / pieces % strips * COLUMNS;
  int line = i / pieces / strips, image = line / s.rows, row = line % s.rows;
  float sum[COLUMNS][PIECE<T>] = {};
  for (int a = 0; a < s.high; a++) {
    int high = row * s.down - s.padding + a * s.dilation;
    if ((unsigned)high >= (unsigned)s.h) continue;
    const T* from = x + (image * s.h + high) * s.w * x_pitch + first;
    add_row<T, SIZE, RIGHT>(sum, from, x_pitch, taps + a * s.wide * padded + first, padded, left,
                            s);
  }
#pragma unroll
  for (int o = 0; o < COLUMNS; o++) {
    if (left + o >= s.cols) break;
    int pixel = line * s.cols + left + o;
    finish<Out, A, RESIDUAL>(sum[o], bias, r + pixel * r_pitch + first,
                             y + pixel * y_pitch + first, first, channels);
  }
}

// As add_row, the other way: of the row of dy that tap row `taps` brings to this row of x. `left`
// and the padding together are a multiple of RIGHT.
template <class T, int SIZE, int RIGHT>
DEVICE void add_row_back(float (&sum)[COLUMNS][PIECE<T>], const T* dy, int dy_pitch,
                         const float* taps, int padded, int left, const Window& s) {
  if constexpr (SIZE > 0) {
    float tap[SIZE][PIECE<T>];
#pragma unroll
    for (int b = 0; b < SIZE; b++) load_floats(tap[b], taps + b * padded);
    int start = (left + s.padding) / RIGHT;
#pragma unroll
    for (int at = -((SIZE - 1) / RIGHT); at <= (COLUMNS - 1) / RIGHT; at++) {
      if ((unsigned)(start + at) >= (unsigned)s.cols) continue;
      Piece<T> delta = Piece<T>::load(dy + (start + at) * dy_pitch);
#pragma unroll
      for (int o = 0; o < COLUMNS; o++) {
        int b = o - at * RIGHT;
        if (b < 0 || b >= SIZE) continue;
#pragma unroll
        for (int j = 0; j < PIECE<T>; j++) sum[o][j] += delta.at[j] * tap[b][j];
      }
    }
  } else {
    for (int b = 0; b < s.wide; b++) {
      float tap[PIECE<T>];
      load_floats(tap, taps + b * padded);
#pragma unroll
      for (int o = 0; o < COLUMNS; o++) {
        int across = left + o + s.padding - b * s.dilation;
        if (across < 0 || across % s.right || across / s.right >= s.cols) continue;
        Piece<T> delta = Piece<T>::load(dy + across / s.right * dy_pitch);
#pragma unroll
        for (int j = 0; j < PIECE<T>; j++) sum[o][j] += delta.at[j] * tap[j];
      }
    }
  }
}

// dx = the gradient, plus r unless that is null.
template <class T, int SIZE, int RIGHT>
__global__ void __launch_bounds__(128, 4)
    depthwise_input_grad(const T* __restrict__ dy, int dy_pitch, const float* __restrict__ taps,
                         const T* r, int r_pitch, T* dx, int dx_pitch, Window s, int pieces,
                         int count) {
  int i = blockIdx.x * 128 + threadIdx.x;
  if (i >= count) return;
  int before = SIZE > 0 ? s.padding % RIGHT : 0, padded = pieces * PIECE<T>;
  int strips = (s.w + before + COLUMNS - 1) / COLUMNS;
  int first = i % pieces * PIECE<T>, left = i / pieces % strips * COLUMNS - before;
  int line = i / pieces / strips, image = line / s.h, high = line % s.h;
  float sum[COLUMNS][PIECE<T>] = {};
  for (int a = 0; a < s.high; a++) {
    int below = high + s.padding - a * s.dilation;
    if (below < 0 || below % s.down || below / s.down >= s.rows) continue;
    const T* from = dy + (image * s.rows + below / s.down) * s.cols * dy_pitch + first;
    add_row_back<T, SIZE, RIGHT>(sum, from, dy_pitch, taps + a * s.wide * padded + first, padded,
                                 left, s);
  }
#pragma unroll
  for (int o = 0; o < COLUMNS; o++) {
    if ((unsigned)(left + o) >= (unsigned)s.w) continue;
    int pixel = line * s.w + left + o;
    Piece<T> piece = {};
    if (r) piece = Piece<T>::load(r + pixel * r_pitch + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) piece.at[j] += sum[o][j];
    piece.store(dx + pixel * dx_pitch + first);
  }
}

// Sums over some rows of dy, one part a blockIdx.y: parts (gridDim.y, high wide, padded). A block
// has 8 pieces of channels and 32 strands, each of which takes every so many-th row; blockIdx.z
// says which TAPS neighbouring taps of a row of the window.
template <class T, int TAPS>
__global__ void __launch_bounds__(256, 2)
    depthwise_weight_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ x,
                          int x_pitch, float* __restrict__ parts, Window s, int pieces,
                          int lines) {
  __shared__ float sums[8][TAPS][8 * PIECE<T>];
  int strand = threadIdx.x / 8, piece = blockIdx.x * 8 + threadIdx.x % 8;
  int first = piece * PIECE<T>, padded = pieces * PIECE<T>;
  int tap = blockIdx.z * TAPS, a = tap / s.wide, offset = tap % s.wide * s.dilation - s.padding;
  float sum[TAPS][PIECE<T>] = {};
  for (int line = blockIdx.y * 32 + strand; line < lines && piece < pieces;
       line += gridDim.y * 32) {
    int high = line % s.rows * s.down - s.padding + a * s.dilation;
    if ((unsigned)high >= (unsigned)s.h) continue;
    const T* from = x + (line / s.rows * s.h + high) * s.w * x_pitch + first;
    const T* delta = dy + line * s.cols * dy_pitch + first;
    for (int col = 0; col < s.cols; col++) {
      Piece<T> change = Piece<T>::load(delta + col * dy_pitch);
#pragma unroll
      for (int b = 0; b < TAPS; b++) {
        int column = col * s.right + offset + b * s.dilation;
        if ((unsigned)column >= (unsigned)s.w) continue;
        Piece<T> cell = Piece<T>::load(from + column * x_pitch);
#pragma unroll
        for (int j = 0; j < PIECE<T>; j++) sum[b][j] += change.at[j] * cell.at[j];
      }
    }
  }
#pragma unroll
  for (int b = 0; b < TAPS; b++) {
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) {
      sum[b][j] += __shfl_xor_sync(~0u, sum[b][j], 8);
      sum[b][j] += __shfl_xor_sync(~0u, sum[b][j], 16);
      if (threadIdx.x % 32 < 8) {
        sums[threadIdx.x / 32][b][threadIdx.x % 8 * PIECE<T> + j] = sum[b][j];
      }
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < TAPS * 8 * PIECE<T>; i += 256) {
    int b = i / (8 * PIECE<T>), within = i % (8 * PIECE<T>);
    int channel = blockIdx.x * 8 * PIECE<T> + within;
    if (channel >= padded) continue;
    float total = 0;
#pragma unroll
    for (int warp = 0; warp < 8; warp++) total += sums[warp][b][within];
    parts[((int)blockIdx.y * s.high * s.wide + tap + b) * padded + channel] = total;
  }
}
