// A rectangle of each picture, mirrored or not.
#include "places.cuh"

// Where a picture is cut: three whole numbers, of which the last is 1 if it is mirrored.
struct Cut {
  int top, left;
  bool mirrored;

  DEVICE Cut(const float* __restrict__ places, int picture)
      : top(places[picture * 3]),
        left(places[picture * 3 + 1]),
        mirrored(places[picture * 3 + 2]) {}

  // Where a column of the rectangle, of so many, lies in it once it is mirrored.
  DEVICE int turned(int column, int width) const { return mirrored ? width - 1 - column : column; }
};

// y = scale x + offset: a thread a piece of y, which is of y_height x y_width. A picture of x is
// of x_height x x_width; `places` has a `Cut` for it.
template <class T>
__global__ void __launch_bounds__(256)
    crop(const T* __restrict__ x, int x_pitch, int x_height, int x_width, T* __restrict__ y,
         int y_pitch, int y_height, int y_width, const float* __restrict__ places, float scale,
         float offset, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, y_height, y_width);
  Cut cut(places, place.picture);
  int column = cut.left + cut.turned(place.column, y_width);
  int pixel = (place.picture * x_height + cut.top + place.row) * x_width + column;
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
              const float* __restrict__ places, float scale, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, dx_height, dx_width);
  Cut cut(places, place.picture);
  int row = place.row - cut.top, column = place.column - cut.left;
  bool taken = row >= 0 && row < dy_height && column >= 0 && column < dy_width;
  Piece<T> piece = {};
  if (taken) {
    int pixel = (place.picture * dy_height + row) * dy_width;
    pixel += cut.turned(column, dy_width);
    piece = Piece<T>::load(dy + pixel * dy_pitch + place.first);
  }
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) piece.at[j] *= scale;
  piece.store(dx + place.pixel * dx_pitch + place.first);
}
