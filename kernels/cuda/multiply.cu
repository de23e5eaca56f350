// Products of two maps, one of which may stand for all channels or for all cells.
#include "activations.cuh"
#include "columns.cuh"
#include "lanes.cuh"

// How a map is read for the pixels of another: numbers from a picture to the next and from a cell
// to the next, 0 where one stands for all; whether one channel stands for all.
struct Steps {
  int picture, cell, single;
};

// The numbers of a factor at a piece.
template <class T>
DEVICE Piece<T> load_factor(const T* x, Steps steps, int picture, int cell, int first) {
  const T* pixel = x + picture * steps.picture + cell * steps.cell;
  if (!steps.single) return Piece<T>::load(pixel + first);
  Piece<T> piece;
  float one = to_float(pixel[0]);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) piece.at[j] = one;
  return piece;
}

// z = A(x y): a thread a piece of z, of pictures of `cells` cells.
template <class T, class A>
__global__ void __launch_bounds__(256)
    multiply(const T* x, Steps x_steps, const T* y, Steps y_steps, T* z, int z_pitch, int cells,
             int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  int picture = pixel / cells, cell = pixel % cells;
  Piece<T> left = load_factor(x, x_steps, picture, cell, first);
  Piece<T> right = load_factor(y, y_steps, picture, cell, first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    left.at[j] = first + j < channels ? A::value(left.at[j] * right.at[j]) : 0.f;
  }
  left.store(z + pixel * z_pitch + first);
}

// sum (one pixel a picture) = the sum of x y over cells; the parts of `columns` are pictures.
template <class T>
__global__ void __launch_bounds__(256)
    sum_over_cells(const T* __restrict__ x, int x_pitch, const T* __restrict__ y, int y_pitch,
                   T* sum, int sum_pitch, float* partials, unsigned* done, Columns columns) {
  Sums<1> sums[PIECE<T>] = {};
  int first = columns.piece() * PIECE<T>;
  if (columns.piece() < columns.pieces) {
#pragma unroll 2
    for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
      Piece<T> left = Piece<T>::load(x + pixel * x_pitch + first);
      Piece<T> right = Piece<T>::load(y + pixel * y_pitch + first);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) sums[j].at[0] += left.at[j] * right.at[j];
    }
  }
  if (!merge_slices(sums, partials, done) || columns.piece() >= columns.pieces) return;
  Piece<T> piece;
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) piece.at[j] = sums[j].at[0];
  piece.store(sum + blockIdx.z * sum_pitch + first);
}

// sum (one channel) = the sum of x y over channels
template <class T>
__global__ void __launch_bounds__(256)
    sum_over_channels(const T* __restrict__ x, int x_pitch, const T* __restrict__ y, int y_pitch,
                      T* sum, int sum_pitch, int lanes, int pieces, int pixels) {
  Lanes of(lanes, pixels);
  float total = 0.f;
  of.pieces<T>(pieces, [&](int first) {
    Piece<T> left = Piece<T>::load(x + of.pixel * x_pitch + first);
    Piece<T> right = Piece<T>::load(y + of.pixel * y_pitch + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) total += left.at[j] * right.at[j];
  });
  Piece<T> piece = {};
  piece.at[0] = of.sum(total);
  if (of.inside && of.lane == 0) piece.store(sum + of.pixel * sum_pitch);
}
