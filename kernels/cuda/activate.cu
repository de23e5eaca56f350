// An activation, and its gradient, for each number of a map.
#include "activations.cuh"
#include "elements.cuh"

// y = A(x): a thread a piece. Channels from `channels` on are zeros.
template <class T, class A>
__global__ void __launch_bounds__(256)
    activate(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, int channels,
             int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    piece.at[j] = first + j < channels ? A::value(piece.at[j]) : 0.f;
  }
  piece.store(y + pixel * y_pitch + first);
}

// dx = dy A'(x)
template <class T, class A>
__global__ void __launch_bounds__(256)
    activate_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ x, int x_pitch,
                  T* __restrict__ dx, int dx_pitch, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> slope = Piece<T>::load(x + pixel * x_pitch + first);
  Piece<T> piece = Piece<T>::load(dy + pixel * dy_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    piece.at[j] = first + j < channels ? piece.at[j] * A::slope(slope.at[j]) : 0.f;
  }
  piece.store(dx + pixel * dx_pitch + first);
}
