// Zeros and signs: a thread a piece.
#include "elements.cuh"

template <class T>
__global__ void __launch_bounds__(256)
    fill_zeros(T* __restrict__ y, int y_pitch, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i < count) store16(y + i / pieces * y_pitch + i % pieces * PIECE<T>, make_uint4(0, 0, 0, 0));
}

// y = 1 where x is positive, -1 elsewhere
template <class T>
__global__ void __launch_bounds__(256)
    signs(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, int channels,
          int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    piece.at[j] = first + j >= channels ? 0.f : piece.at[j] > 0.f ? 1.f : -1.f;
  }
  piece.store(y + pixel * y_pitch + first);
}
