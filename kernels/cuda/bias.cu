// Biases of channels, and their gradient.
#include "columns.cuh"

// y = x + b
template <class T>
__global__ void __launch_bounds__(256)
    bias(const T* x, int x_pitch, const float* __restrict__ b, T* y, int y_pitch,
         Columns columns) {
  if (columns.piece() >= columns.pieces) return;
  int first = columns.piece() * PIECE<T>;
  float biases[PIECE<T>];
  load_vector(biases, b, first, columns.channels);
  for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
    Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) piece.at[j] += biases[j];
    piece.store(y + pixel * y_pitch + first);
  }
}

// db = the sum of dy over all pixels
template <class T>
__global__ void __launch_bounds__(256)
    bias_grad(const T* __restrict__ dy, int dy_pitch, float* db, float* partials, unsigned* done,
              Columns columns) {
  Sums<1> sums[PIECE<T>] = {};
  int first = columns.piece() * PIECE<T>;
  if (columns.piece() < columns.pieces) {
#pragma unroll 4
    for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
      Piece<T> piece = Piece<T>::load(dy + pixel * dy_pitch + first);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) sums[j].at[0] += piece.at[j];
    }
  }
  if (!merge_slices(sums, partials, done)) return;
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    if (first + j < columns.channels) db[first + j] = sums[j].at[0];
  }
}
