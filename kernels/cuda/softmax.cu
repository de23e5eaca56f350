// Softmax over the channels of each pixel, or over runs of a picture's numbers.
#include "lanes.cuh"

// y = e^(x * sharpness) as shares of their sum over channels
template <class T>
__global__ void __launch_bounds__(256)
    softmax(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, float sharpness,
            int lanes, int channels, int pieces, int pixels) {
  Lanes of(lanes, pixels);
  const T* from = x + of.pixel * x_pitch;
  float most = __int_as_float(0xFF800000), sum = 0.f;
  of.pieces<T>(pieces, [&](int first) {
    Piece<T> piece = Piece<T>::load(from + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) {
      if (first + j < channels) most = fmaxf(most, piece.at[j]);
    }
  });
  most = of.most(most);
  of.pieces<T>(pieces, [&](int first) {
    Piece<T> piece = Piece<T>::load(from + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) {
      if (first + j < channels) sum += expf((piece.at[j] - most) * sharpness);
    }
  });
  float share = 1.f / of.sum(sum);
  of.pieces<T>(pieces, [&](int first) {
    Piece<T> piece = Piece<T>::load(from + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) {
      bool inside = first + j < channels;
      piece.at[j] = inside ? expf((piece.at[j] - most) * sharpness) * share : 0.f;
    }
    piece.store(y + of.pixel * y_pitch + first);
  });
}

// dx = (dy - the sum of dy y over channels) y * sharpness
template <class T>
__global__ void __launch_bounds__(256)
    softmax_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ y, int y_pitch,
                 T* __restrict__ dx, int dx_pitch, float sharpness, int lanes, int pieces,
                 int pixels) {
  Lanes of(lanes, pixels);
  float sum = 0.f;
  of.pieces<T>(pieces, [&](int first) {
    Piece<T> delta = Piece<T>::load(dy + of.pixel * dy_pitch + first);
    Piece<T> piece = Piece<T>::load(y + of.pixel * y_pitch + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) sum += delta.at[j] * piece.at[j];
  });
  sum = of.sum(sum);
  of.pieces<T>(pieces, [&](int first) {
    Piece<T> delta = Piece<T>::load(dy + of.pixel * dy_pitch + first);
    Piece<T> piece = Piece<T>::load(y + of.pixel * y_pitch + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) piece.at[j] *= (delta.at[j] - sum) * sharpness;
    piece.store(dx + of.pixel * dx_pitch + first);
  });
}

// The numbers of a picture in the order channels, rows, columns.
template <class T>
struct Planar {
  T* picture;
  int pitch, cells;

  DEVICE Planar(T* map, int pitch, int cells)
      : picture(map + blockIdx.y * cells * pitch), pitch(pitch), cells(cells) {}
  DEVICE T& at(int i) const { return picture[i % cells * pitch + i / cells]; }
};

// A warp for each run of each picture (block y); `starts` has where runs begin, and the end. What
// is in no run stays as it is in y.
template <class T>
__global__ void __launch_bounds__(32)
    softmax_runs(const T* __restrict__ x, int x_pitch, T* y, int y_pitch, int cells,
                 const int* __restrict__ starts, float sharpness) {
  Planar<const T> from(x, x_pitch, cells);
  Planar<T> to(y, y_pitch, cells);
  int begin = starts[blockIdx.x] + threadIdx.x, end = starts[blockIdx.x + 1];
  Lanes of(32, 1 << 30);
  float most = __int_as_float(0xFF800000), sum = 0.f;
  for (int i = begin; i < end; i += 32) most = fmaxf(most, to_float(from.at(i)));
  most = of.most(most);
  for (int i = begin; i < end; i += 32) sum += expf((to_float(from.at(i)) - most) * sharpness);
  float share = 1.f / of.sum(sum);
  for (int i = begin; i < end; i += 32) {
    to.at(i) = from_float<T>(expf((to_float(from.at(i)) - most) * sharpness) * share);
  }
}

template <class T>
__global__ void __launch_bounds__(32)
    softmax_runs_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ y, int y_pitch,
                      T* dx, int dx_pitch, int cells, const int* __restrict__ starts,
                      float sharpness) {
  Planar<const T> delta(dy, dy_pitch, cells), from(y, y_pitch, cells);
  Planar<T> to(dx, dx_pitch, cells);
  int begin = starts[blockIdx.x] + threadIdx.x, end = starts[blockIdx.x + 1];
  Lanes of(32, 1 << 30);
  float sum = 0.f;
  for (int i = begin; i < end; i += 32) sum += to_float(delta.at(i)) * to_float(from.at(i));
  sum = of.sum(sum);
  for (int i = begin; i < end; i += 32) {
    to.at(i) = from_float<T>((to_float(delta.at(i)) - sum) * to_float(from.at(i)) * sharpness);
  }
}
