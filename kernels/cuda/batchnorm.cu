// Batch normalisation, with the activation after it and a pool of 2 x 2 cells after that.
#include "activations.cuh"
#include "columns.cuh"

__device__ constexpr float EPSILON = 1e-5f;

// Mean and variance of a channel from its moments.
template <int COUNT>
DEVICE void store_statistics(const Moments (&moments)[COUNT], float* mean, float* variance,
                             int first, int channels) {
#pragma unroll
  for (int j = 0; j < COUNT; j++) {
    if (first + j >= channels) continue;
    mean[first + j] = moments[j].at[1];
    variance[first + j] = moments[j].at[2] / fmaxf(1.f, moments[j].at[0] - 1.f);
  }
}

template <class T>
__global__ void __launch_bounds__(256)
    batch_statistics(const T* __restrict__ x, int pitch, float* mean, float* variance,
                     float* partials, unsigned* done, Columns columns) {
  Moments moments[PIECE<T>] = {};
  int first = columns.piece() * PIECE<T>;
  if (columns.piece() < columns.pieces) {
    float count = 0.f;
#pragma unroll 4
    for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
      Piece<T> piece = Piece<T>::load(x + pixel * pitch + first);
      count += 1.f;
      float share = __fdividef(1.f, count);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) {
        float delta = piece.at[j] - moments[j].at[1];
        moments[j].at[1] += delta * share;
        moments[j].at[2] += delta * (piece.at[j] - moments[j].at[1]);
      }
    }
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) moments[j].at[0] = count;
  }
  if (merge_slices(moments, partials, done)) {
    store_statistics(moments, mean, variance, first, columns.channels);
  }
}

// Statistics from those of blocks of `rows` pixels, of which the last may have fewer: means and
// sums of squared deviations (blocks, 2, channels). The blocks are what `columns` calls pixels.
__global__ void __launch_bounds__(256)
    finish_statistics(const float* __restrict__ blocks, float* mean, float* variance, int pixels,
                      int rows, float* partials, unsigned* done, Columns columns) {
  Moments moments[1] = {};
  int channel = columns.piece();
  if (channel < columns.channels) {
    for (int block = columns.begin(); block < columns.end(); block += blockDim.y) {
      const float* from = blocks + block * 2 * columns.channels + channel;
      float count = min(rows, pixels - block * rows);
      moments[0].merge({{count, from[0], from[columns.channels]}});
    }
  }
  if (merge_slices(moments, partials, done)) {
    store_statistics(moments, mean, variance, channel, columns.channels);
  }
}

// What the channels of a piece are normalised with: (x - mean) factor + bias.
template <class T, class A>
struct Norm {
  float mean[PIECE<T>], factor[PIECE<T>], bias[PIECE<T>];

  DEVICE Norm(const float* means, const float* variances, const float* scales, const float* biases,
              int first, int channels) {
    load_vector(mean, means, first, channels);
    load_vector(bias, biases, first, channels);
    load_vector(factor, scales, first, channels);
    float variance[PIECE<T>];
    load_vector(variance, variances, first, channels);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) factor[j] *= rsqrtf(variance[j] + EPSILON);
  }

  // What goes into the activation.
  DEVICE float normal(float x, int j) const { return fmaf(x - mean[j], factor[j], bias[j]); }
  DEVICE float value(float x, int j) const { return A::value(normal(x, j)); }
  DEVICE float slope(float x, int j) const { return A::slope(normal(x, j)); }
};

// y = A(x normalised)
template <class T, class A>
__global__ void __launch_bounds__(256)
    batchnorm(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch,
              const float* __restrict__ scales, const float* __restrict__ biases,
              const float* __restrict__ mean, const float* __restrict__ variance, Columns columns) {
  if (columns.piece() >= columns.pieces) return;
  int first = columns.piece() * PIECE<T>;
  Norm<T, A> norm(mean, variance, scales, biases, first, columns.channels);
#pragma unroll 2
  for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
    Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) {
      piece.at[j] = first + j < columns.channels ? norm.value(piece.at[j], j) : 0.f;
    }
    piece.store(y + pixel * y_pitch + first);
  }
}

// The first of four cells that a pool of 2 x 2 makes one; width is even, and so is height. Rows of
// all pictures are one below the other.
DEVICE int pooled_cell(int pixel, int width) {
  int half = width / 2;
  return pixel / half * 2 * width + pixel % half * 2;
}

DEVICE int beside(int cell, int width) { return cell / 2 * width + cell % 2; }

// y = the largest of each 2 x 2 cells of A(x normalised); the pixels of `columns` are those of y.
template <class T, class A>
__global__ void __launch_bounds__(256, 3)
    batchnorm_pool(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch,
                   const float* __restrict__ scales, const float* __restrict__ biases,
                   const float* __restrict__ mean, const float* __restrict__ variance, int width,
                   Columns columns) {
  if (columns.piece() >= columns.pieces) return;
  int first = columns.piece() * PIECE<T>;
  Norm<T, A> norm(mean, variance, scales, biases, first, columns.channels);
#pragma unroll 1
  for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
    const T* cells = x + pooled_cell(pixel, width) * x_pitch + first;
    Piece<T> most;
#pragma unroll
    for (int cell = 0; cell < 4; cell++) {
      Piece<T> piece = Piece<T>::load(cells + beside(cell, width) * x_pitch);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) {
        float value = first + j < columns.channels ? norm.value(piece.at[j], j) : 0.f;
        most.at[j] = cell == 0 ? value : fmaxf(most.at[j], value);
      }
    }
    most.store(y + pixel * y_pitch + first);
  }
}

// Which of the four cells of a pool has the largest value, the first of equals, channel by channel,
// and what is `taken` there.
template <class T, class A>
DEVICE void choose(int (&chosen)[PIECE<T>], Piece<T>& taken, const Piece<T> (&cells)[4],
                   const Norm<T, A>& norm) {
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    chosen[j] = 0;
    taken.at[j] = cells[0].at[j];
    float most = norm.value(taken.at[j], j);
#pragma unroll
    for (int cell = 1; cell < 4; cell++) {
      float value = norm.value(cells[cell].at[j], j);
      if (value > most) {
        most = value;
        chosen[j] = cell;
        taken.at[j] = cells[cell].at[j];
      }
    }
  }
}

// The gradients of scales and biases, of y = A(x normalised) or of its pool of 2 x 2 cells. The
// pixels of `columns` are those of dy.
template <class T, class A, bool POOL>
__global__ void __launch_bounds__(256)
    batchnorm_sums(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ x, int x_pitch,
                   const float* __restrict__ scales, const float* __restrict__ biases,
                   const float* __restrict__ mean, const float* __restrict__ variance,
                   float* dscales, float* dbiases, int width, float* partials, unsigned* done,
                   Columns columns) {
  Sums<2> sums[PIECE<T>] = {};
  int first = columns.piece() * PIECE<T>;
  if (columns.piece() < columns.pieces) {
    Norm<T, A> norm(mean, variance, scales, biases, first, columns.channels);
#pragma unroll(POOL ? 1 : 2)
    for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
      Piece<T> delta = Piece<T>::load(dy + pixel * dy_pitch + first);
      Piece<T> taken;
      if constexpr (POOL) {
        const T* from = x + pooled_cell(pixel, width) * x_pitch + first;
        Piece<T> cells[4];
#pragma unroll
        for (int i = 0; i < 4; i++) cells[i] = Piece<T>::load(from + beside(i, width) * x_pitch);
        int chosen[PIECE<T>];
        choose(chosen, taken, cells, norm);
      } else {
        taken = Piece<T>::load(x + pixel * x_pitch + first);
      }
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) {
        float dz = delta.at[j] * norm.slope(taken.at[j], j);
        sums[j].at[0] += dz * (taken.at[j] - norm.mean[j]);
        sums[j].at[1] += dz;
      }
    }
  }
  if (!merge_slices(sums, partials, done)) return;
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    if (first + j >= columns.channels) continue;
    dscales[first + j] = sums[j].at[0] * rsqrtf(variance[first + j] + EPSILON);
    dbiases[first + j] = sums[j].at[1];
  }
}

// The gradient of x, given those of scales and biases; dx may be x. `share` is 1 over the pixels of
// x. As in darknet the way back takes the variance for a mean over all pixels.
template <class T, class A, bool POOL>
__global__ void __launch_bounds__(256)
    batchnorm_grad(const T* __restrict__ dy, int dy_pitch, const T* x, int x_pitch, T* dx,
                   int dx_pitch, const float* __restrict__ scales, const float* __restrict__ biases,
                   const float* __restrict__ mean, const float* __restrict__ variance,
                   const float* __restrict__ dscales, const float* __restrict__ dbiases, int width,
                   float share, Columns columns) {
  if (columns.piece() >= columns.pieces) return;
  int first = columns.piece() * PIECE<T>;
  Norm<T, A> norm(mean, variance, scales, biases, first, columns.channels);
  float shift[PIECE<T>], tilt[PIECE<T>], spread[PIECE<T>];
  load_vector(spread, variance, first, columns.channels);
  load_vector(shift, dbiases, first, columns.channels);
  load_vector(tilt, dscales, first, columns.channels);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    shift[j] *= share;
    tilt[j] *= share * rsqrtf(spread[j] + EPSILON);
  }
  auto write = [&](Piece<T>& cell, const Piece<T>& dz, T* to) {
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) {
      float rest = dz.at[j] - shift[j] - (cell.at[j] - norm.mean[j]) * tilt[j];
      cell.at[j] = rest * norm.factor[j];
    }
    cell.store(to);
  };
  for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
    Piece<T> delta = Piece<T>::load(dy + pixel * dy_pitch + first);
    if constexpr (POOL) {
      int corner = pooled_cell(pixel, width);
      Piece<T> cells[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        cells[i] = Piece<T>::load(x + (corner + beside(i, width)) * x_pitch + first);
      }
      int chosen[PIECE<T>];
      Piece<T> taken;
      choose(chosen, taken, cells, norm);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) delta.at[j] *= norm.slope(taken.at[j], j);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        Piece<T> dz;
#pragma unroll
        for (int j = 0; j < PIECE<T>; j++) dz.at[j] = chosen[j] == i ? delta.at[j] : 0.f;
        write(cells[i], dz, dx + (corner + beside(i, width)) * dx_pitch + first);
      }
    } else {
      Piece<T> cell = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) delta.at[j] *= norm.slope(cell.at[j], j);
      write(cell, delta, dx + pixel * dx_pitch + first);
    }
  }
}

// rolling += momentum (batch - rolling), of as many pairs of vectors as the grid has rows.
__global__ void __launch_bounds__(256)
    roll_averages(float* rolling0, const float* batch0, int count0, float* rolling1,
                  const float* batch1, int count1, float* rolling2, const float* batch2, int count2,
                  float* rolling3, const float* batch3, int count3, float* rolling4,
                  const float* batch4, int count4, float* rolling5, const float* batch5, int count5,
                  float* rolling6, const float* batch6, int count6, float* rolling7,
                  const float* batch7, int count7, float momentum) {
  int i = blockIdx.x * 256 + threadIdx.x;
  auto roll = [&](int pair, float* rolling, const float* batch, int count) {
    if (blockIdx.y != pair || i >= count) return;
    rolling[i] = rolling[i] * (1.f - momentum) + momentum * batch[i];
  };
  roll(0, rolling0, batch0, count0);
  roll(1, rolling1, batch1, count1);
  roll(2, rolling2, batch2, count2);
  roll(3, rolling3, batch3, count3);
  roll(4, rolling4, batch4, count4);
  roll(5, rolling5, batch5, count5);
  roll(6, rolling6, batch6, count6);
  roll(7, rolling7, batch7, count7);
}
