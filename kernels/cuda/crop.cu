// A rectangle of each picture, mirrored or not.
#include "places.cuh"

// y = scale x + offset: a thread a piece of y, which is of y_height x y_width. A picture of x is
// of x_height x x_width; `places` has its top and left cell and whether it is mirrored.
template <class T>
__global__ void __launch_bounds__(256)
    crop(const T* __restrict__ x, int x_pitch, int x_height, int x_width, T* __restrict__ y,
         int y_pitch, int y_height, int y_width, const int* __restrict__ places, float scale,
         float offset, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, y_height, y_width);
  const int* of = places + place.picture * 3;
  int column = of[1] + (of[2] ? y_width - 1 - place.column : place.column);
  int pixel = (place.picture * x_height + of[0] + place.row) * x_width + column;
  Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + place.first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    piece.at[j] = place.first + j < channels ? piece.at[j] * scale + offset : 0.f;
  }
  piece.store(y + place.pixel * y_pitch + place.first);
}

// dx = scale dy where x was taken, elsewhere 0: a thread a piece of dx.
template <class T>
__global__ void __launch_bounds__(256)
    crop_grad(const T* __restrict__ dy, int dy_pitch, int dy_height, int dy_width,
              T* __restrict__ dx, int dx_pitch, int dx_height, int dx_width,
              const int* __restrict__ places, float scale, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, dx_height, dx_width);
  const int* of = places + place.picture * 3;
  int row = place.row - of[0], column = place.column - of[1];
  bool taken = row >= 0 && row < dy_height && column >= 0 && column < dy_width;
  Piece<T> piece = {};
  if (taken) {
    int pixel = (place.picture * dy_height + row) * dy_width;
    pixel += of[2] ? dy_width - 1 - column : column;
    piece = Piece<T>::load(dy + pixel * dy_pitch + place.first);
  }
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) piece.at[j] *= scale;
  piece.store(dx + place.pixel * dx_pitch + place.first);
}
