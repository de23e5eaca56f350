// Nearest-neighbour upsampling, and the sums over blocks that are its gradient.
#include "elements.cuh"

// y = scale x, each cell as a block of stride x stride: a thread a piece of x.
template <class T>
__global__ void __launch_bounds__(256)
    upsample(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, int width,
             int stride, float scale, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  int row = pixel / width, column = pixel % width;  // of all pictures, one below the other
  Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) piece.at[j] *= scale;
  int top = row * stride * width * stride + column * stride;
  for (int a = 0; a < stride; a++) {
    for (int b = 0; b < stride; b++) {
      piece.store(y + (top + a * width * stride + b) * y_pitch + first);
    }
  }
}

// dx = scale times the sum of each block of dy: a thread a piece of dx.
template <class T>
__global__ void __launch_bounds__(256)
    upsample_grad(const T* __restrict__ dy, int dy_pitch, T* __restrict__ dx, int dx_pitch,
                  int width, int stride, float scale, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  int row = pixel / width, column = pixel % width;
  int top = row * stride * width * stride + column * stride;
  Piece<T> sum = {};
  for (int a = 0; a < stride; a++) {
    for (int b = 0; b < stride; b++) {
      const T* from = dy + (top + a * width * stride + b) * dy_pitch + first;
      Piece<T> piece = Piece<T>::load(from);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) sum.at[j] += piece.at[j];
    }
  }
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) sum.at[j] *= scale;
  sum.store(dx + pixel * dx_pitch + first);
}
