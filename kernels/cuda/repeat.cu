// The gradient of a map that every picture was given.
#include "elements.cuh"

// dw (channels, pixels) = the sum over n pictures of dy: a thread a piece of a picture.
template <class T>
__global__ void __launch_bounds__(256)
    repeat_grad(const T* __restrict__ dy, int dy_pitch, float* __restrict__ dw, int n, int pixels,
                int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> sum = {};
#pragma unroll 4
  for (int picture = 0; picture < n; picture++) {
    Piece<T> piece = Piece<T>::load(dy + (picture * pixels + pixel) * dy_pitch + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) sum.at[j] += piece.at[j];
  }
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    if (first + j < channels) dw[(first + j) * pixels + pixel] = sum.at[j];
  }
}
