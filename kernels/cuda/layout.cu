// Maps from planar arrays and back, from channels to others, from a type to another.
#include "elements.cuh"

// A tile of CHANNELS x PIXELS in shared memory. Rows are as long as lets a warp read a piece of
// each of its pixels without a bank twice.
template <int CHANNELS>
struct Tile {
  static constexpr int pixels = 1024 / CHANNELS, row = pixels + (CHANNELS < 32 ? 4 : 1);
  float at[CHANNELS * row];
};

// y (pixels of n pictures, channels) = x (n, channels, pixels), whose pictures are `step` numbers
// apart: a block a tile of a picture.
template <class T, int CHANNELS>
__global__ void __launch_bounds__(256)
    to_map(const float* __restrict__ x, int step, T* __restrict__ y, int y_pitch, int channels,
           int pieces, int pixels) {
  using Shared = Tile<CHANNELS>;
  __shared__ Shared tile;
  int first_pixel = blockIdx.x * Shared::pixels, first_channel = blockIdx.y * CHANNELS;
  int picture = blockIdx.z;
  for (int i = threadIdx.x; i < CHANNELS * Shared::pixels; i += 256) {
    int k = i / Shared::pixels, p = i % Shared::pixels;
    int channel = first_channel + k, pixel = first_pixel + p;
    bool inside = channel < channels && pixel < pixels;
    tile.at[k * Shared::row + p] = inside ? x[picture * step + channel * pixels + pixel] : 0.f;
  }
  __syncthreads();
  constexpr int PIECES = CHANNELS / PIECE<T>;
  for (int i = threadIdx.x; i < PIECES * Shared::pixels; i += 256) {
    int k = i % PIECES * PIECE<T>, p = i / PIECES;
    int channel = first_channel + k, pixel = first_pixel + p;
    if (pixel >= pixels || channel >= pieces * PIECE<T>) continue;
    Piece<T> piece;
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) piece.at[j] = tile.at[(k + j) * Shared::row + p];
    piece.store(y + (picture * pixels + pixel) * y_pitch + channel);
  }
}

// y (n, channels, pixels) = x (pixels of n pictures, channels)
template <class T, int CHANNELS>
__global__ void __launch_bounds__(256)
    to_planar(const T* __restrict__ x, int x_pitch, float* __restrict__ y, int channels, int pieces,
              int pixels) {
  using Shared = Tile<CHANNELS>;
  __shared__ Shared tile;
  int first_pixel = blockIdx.x * Shared::pixels, first_channel = blockIdx.y * CHANNELS;
  int picture = blockIdx.z;
  constexpr int PIECES = CHANNELS / PIECE<T>;
  for (int i = threadIdx.x; i < PIECES * Shared::pixels; i += 256) {
    int k = i % PIECES * PIECE<T>, p = i / PIECES;
    int channel = first_channel + k, pixel = first_pixel + p;
    if (pixel >= pixels || channel >= pieces * PIECE<T>) continue;
    Piece<T> piece = Piece<T>::load(x + (picture * pixels + pixel) * x_pitch + channel);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) tile.at[(k + j) * Shared::row + p] = piece.at[j];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < CHANNELS * Shared::pixels; i += 256) {
    int k = i / Shared::pixels, p = i % Shared::pixels;
    int channel = first_channel + k, pixel = first_pixel + p;
    if (channel >= channels || pixel >= pixels) continue;
    y[(picture * channels + channel) * pixels + pixel] = tile.at[k * Shared::row + p];
  }
}

// y = x of another type: a thread as many numbers as the longer of both pieces has.
template <class T, class U>
__global__ void __launch_bounds__(256)
    convert(const T* x, int x_pitch, U* y, int y_pitch, int channels, int groups, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  constexpr int GROUP = PIECE<T> > PIECE<U> ? PIECE<T> : PIECE<U>;
  int pixel = i / groups, first = i % groups * GROUP;
  float numbers[GROUP];
#pragma unroll
  for (int k = 0; k < GROUP; k += PIECE<T>) {
    Piece<T> piece = {};
    if (first + k < channels) piece = Piece<T>::load(x + pixel * x_pitch + first + k);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) numbers[k + j] = piece.at[j];
  }
#pragma unroll
  for (int k = 0; k < GROUP; k += PIECE<U>) {
    Piece<U> piece;
#pragma unroll
    for (int j = 0; j < PIECE<U>; j++) piece.at[j] = numbers[k + j];
    if (first + k < channels) piece.store(y + pixel * y_pitch + first + k);
  }
}

// Where `count` channels of x from `from` on go to in y, from `to` on. Pieces first .. last - 1 of
// y are written: before these channels what was there stays below `kept`, all else is zeros.
struct Move {
  int from, to, count, kept, first, last;
};

template <class T>
__global__ void __launch_bounds__(256)
    move_channels(const T* x, int x_pitch, T* y, int y_pitch, Move move, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pieces = move.last - move.first;
  int pixel = i / pieces, first = (move.first + i % pieces) * PIECE<T>;
  const T* source = x + pixel * x_pitch + move.from - move.to;
  T* target = y + pixel * y_pitch + first;
  bool aligned = (move.from - move.to) % PIECE<T> == 0;
  if (aligned && first >= move.to && first + PIECE<T> <= move.to + move.count) {
    store16(target, load16(source + first));
    return;
  }
  Piece<T> piece;
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    int channel = first + j;
    bool moved = channel >= move.to && channel < move.to + move.count;
    piece.at[j] = moved ? to_float(source[channel])
                        : channel < move.kept ? to_float(target[j]) : 0.f;
  }
  piece.store(target);
}
