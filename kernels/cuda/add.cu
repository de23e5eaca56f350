// Sums of maps.
#include "activations.cuh"
#include "elements.cuh"

template <class T>
DEVICE void add_piece(Piece<T>& sum, const T* from) {
  Piece<T> piece = Piece<T>::load(from);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) sum.at[j] += piece.at[j];
}

// y = A(sum of the first COUNT maps): a thread a piece. y may be one of them.
template <class T, class A, int COUNT>
__global__ void __launch_bounds__(256)
    add(const T* a, int a_pitch, const T* b, int b_pitch, const T* c, int c_pitch, const T* d,
        int d_pitch, T* y, int y_pitch, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> sum = Piece<T>::load(a + pixel * a_pitch + first);
  add_piece(sum, b + pixel * b_pitch + first);
  if (COUNT > 2) add_piece(sum, c + pixel * c_pitch + first);
  if (COUNT > 3) add_piece(sum, d + pixel * d_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    sum.at[j] = first + j < channels ? A::value(sum.at[j]) : 0.f;
  }
  sum.store(y + pixel * y_pitch + first);
}
