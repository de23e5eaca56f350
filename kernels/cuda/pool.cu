// Pooling: the largest or the mean value of each window, of a whole channel, or over channels.
#include "columns.cuh"
#include "places.cuh"

// The least number of a type, which a window without a cell has.
template <class T>
constexpr float LEAST = -3.402823466e38f;
template <>
constexpr float LEAST<half> = -65504.f;
template <>
constexpr float LEAST<__nv_bfloat16> = -3.3895314e38f;

// A map of height x width and its windows of size x size, rows x columns of them. That of place i
// of a line begins at cell i * stride - before.
struct Windows {
  int height, width, rows, columns, size, down, right, before;

  // Call `each` with the index in the window and the pixel in the map of every cell of a window.
  template <int SIZE, class Each>
  DEVICE void cells(const Place& place, Each each) const {
    int top = place.row * down - before, left = place.column * right - before;
    int length = SIZE ? SIZE : size;
    int picture = place.picture * height * width;
#pragma unroll
    for (int a = 0; a < length; a++) {
      if (top + a < 0 || top + a >= height) continue;
#pragma unroll
      for (int b = 0; b < length; b++) {
        if (left + b < 0 || left + b >= width) continue;
        each(a * length + b, picture + (top + a) * width + left + b);
      }
    }
  }

  // Call `each` with the index of a cell in a window and the pixel in the map of windows, for every
  // window that has the cell.
  template <class Each>
  DEVICE void windows(const Place& place, Each each) const {
    int y = place.row + before, x = place.column + before;
    int picture = place.picture * rows * columns;
    for (int i = y < size ? 0 : (y - size) / down + 1; i < rows && i * down <= y; i++) {
      for (int j = x < size ? 0 : (x - size) / right + 1; j < columns && j * right <= x; j++) {
        each((y - i * down) * size + x - j * right, picture + i * columns + j);
      }
    }
  }

  // 1 over the number of cells that a window has, 1 if none.
  DEVICE float share(int row, int column) const {
    int top = row * down - before, left = column * right - before;
    int high = min(height, top + size) - max(0, top), wide = min(width, left + size) - max(0, left);
    return high > 0 && wide > 0 ? 1.f / (high * wide) : 1.f;
  }
};

// y = the largest of each window: a thread a piece of y. SIZE is that of windows, 0 for any.
template <class T, int SIZE>
__global__ void __launch_bounds__(256, 4)
    maxpool(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, Windows windows,
            int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, windows.rows, windows.columns);
  Piece<T> most;
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) most.at[j] = place.first + j < channels ? LEAST<T> : 0.f;
  windows.cells<SIZE>(place, [&](int, int pixel) {
    Piece<T> cell = Piece<T>::load(x + pixel * x_pitch + place.first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) most.at[j] = fmaxf(most.at[j], cell.at[j]);
  });
  most.store(y + place.pixel * y_pitch + place.first);
}

// The cells of windows that have their largest number, by the index in the window.
template <class T>
struct __align__(2 * PIECE<T>) Owners {
  unsigned short at[PIECE<T>];
};

// Find the first cell with the largest number of each window: a thread a piece of `owners`, which
// has (windows of all pictures, channels of all pieces).
template <class T, int SIZE>
__global__ void __launch_bounds__(256)
    find_owners(const T* __restrict__ x, int x_pitch, unsigned short* owners, Windows windows,
                int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, windows.rows, windows.columns);
  Owners<T> found;
  Piece<T> most;
  bool any = false;
  windows.cells<SIZE>(place, [&](int index, int pixel) {
    Piece<T> cell = Piece<T>::load(x + pixel * x_pitch + place.first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) {
      bool larger = !any || cell.at[j] > most.at[j];
      most.at[j] = larger ? cell.at[j] : most.at[j];
      found.at[j] = larger ? index : found.at[j];
    }
    any = true;
  });
  if (any) ((Owners<T>*)owners)[i] = found;
}

// dx = the sum of dy of the windows that a cell owns: a thread a piece of dx.
template <class T>
__global__ void __launch_bounds__(256)
    maxpool_grad(const T* __restrict__ dy, int dy_pitch, const unsigned short* __restrict__ owners,
                 T* __restrict__ dx, int dx_pitch, Windows windows, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, windows.height, windows.width);
  Piece<T> sum = {};
  windows.windows(place, [&](int index, int pixel) {
    Owners<T> owner = ((const Owners<T>*)owners)[pixel * pieces + i % pieces];
    Piece<T> delta = Piece<T>::load(dy + pixel * dy_pitch + place.first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) sum.at[j] += owner.at[j] == index ? delta.at[j] : 0.f;
  });
  sum.store(dx + place.pixel * dx_pitch + place.first);
}

// y = the mean of each window: a thread a piece of y.
template <class T, int SIZE>
__global__ void __launch_bounds__(256)
    local_avgpool(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch,
                  Windows windows, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, windows.rows, windows.columns);
  Piece<T> sum = {};
  windows.cells<SIZE>(place, [&](int, int pixel) {
    Piece<T> cell = Piece<T>::load(x + pixel * x_pitch + place.first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) sum.at[j] += cell.at[j];
  });
  float share = windows.share(place.row, place.column);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) sum.at[j] *= share;
  sum.store(y + place.pixel * y_pitch + place.first);
}

// dx = the sum of dy, as a share of their cells, of the windows that a cell is in.
template <class T>
__global__ void __launch_bounds__(256)
    local_avgpool_grad(const T* __restrict__ dy, int dy_pitch, T* __restrict__ dx, int dx_pitch,
                       Windows windows, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, windows.height, windows.width);
  Piece<T> sum = {};
  windows.windows(place, [&](int, int pixel) {
    float share = windows.share(pixel / windows.columns % windows.rows, pixel % windows.columns);
    Piece<T> delta = Piece<T>::load(dy + pixel * dy_pitch + place.first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) sum.at[j] += delta.at[j] * share;
  });
  sum.store(dx + place.pixel * dx_pitch + place.first);
}

// y = the mean of each channel of a picture; the parts of `columns` are pictures.
template <class T>
__global__ void __launch_bounds__(256)
    avgpool(const T* __restrict__ x, int x_pitch, T* y, int y_pitch, float* partials,
            unsigned* done, Columns columns) {
  Sums<1> sums[PIECE<T>] = {};
  int first = columns.piece() * PIECE<T>;
  if (columns.piece() < columns.pieces) {
#pragma unroll 4
    for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
      Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) sums[j].at[0] += piece.at[j];
    }
  }
  if (!merge_slices(sums, partials, done) || columns.piece() >= columns.pieces) return;
  Piece<T> mean;
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) mean.at[j] = sums[j].at[0] / columns.pixels;
  mean.store(y + blockIdx.z * y_pitch + first);
}

// dx = dy (one pixel a picture) over the number of cells: a thread a piece of dx.
template <class T>
__global__ void __launch_bounds__(256)
    avgpool_grad(const T* __restrict__ dy, int dy_pitch, T* __restrict__ dx, int dx_pitch,
                 int pixels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> delta = Piece<T>::load(dy + pixel / pixels * dy_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) delta.at[j] /= pixels;
  delta.store(dx + pixel * dx_pitch + first);
}

// z = y where a equals b, elsewhere 0: a thread a piece.
template <class T>
__global__ void __launch_bounds__(256)
    keep_equal(const T* y, int y_pitch, const T* a, int a_pitch, const T* b, int b_pitch, T* z,
               int z_pitch, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> piece = Piece<T>::load(y + pixel * y_pitch + first);
  Piece<T> left = Piece<T>::load(a + pixel * a_pitch + first);
  Piece<T> right = Piece<T>::load(b + pixel * b_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) piece.at[j] = left.at[j] == right.at[j] ? piece.at[j] : 0.f;
  piece.store(z + pixel * z_pitch + first);
}

// y = for channel g the largest of the channels g, g + `channels`, ... of x: a thread a piece of y.
template <class T>
__global__ void __launch_bounds__(256)
    maxpool_depth(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, int given,
                  int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> most = {};
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    if (first + j >= channels) continue;
    const T* from = x + pixel * x_pitch;
    most.at[j] = to_float(from[first + j]);
    for (int channel = first + j + channels; channel < given; channel += channels) {
      most.at[j] = fmaxf(most.at[j], to_float(from[channel]));
    }
  }
  most.store(y + pixel * y_pitch + first);
}

// dx = dy for the first channel of each group that has its largest number: a thread a piece of dx.
template <class T>
__global__ void __launch_bounds__(256)
    maxpool_depth_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ x, int x_pitch,
                       const T* __restrict__ y, int y_pitch, T* __restrict__ dx, int dx_pitch,
                       int given, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  const T* from = x + pixel * x_pitch;
  Piece<T> piece = {};
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    int channel = first + j, group = channel % channels;
    if (channel >= given) continue;
    float most = to_float(y[pixel * y_pitch + group]);
    bool owns = to_float(from[channel]) == most;
    for (int k = group; k < channel; k += channels) owns = owns && to_float(from[k]) != most;
    piece.at[j] = owns ? to_float(dy[pixel * dy_pitch + group]) : 0.f;
  }
  piece.store(dx + pixel * dx_pitch + first);
}
