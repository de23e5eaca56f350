// Masks of what drops out.
#include "columns.cuh"
#include "places.cuh"
#include "random.cuh"

// The numbers drawn for a piece of a pixel: four channels have an index, whatever the type.
template <class T>
DEVICE void draw(float (&to)[PIECE<T>], const Draws& draws, int pixel, int first, int channels) {
  int index = pixel * ((channels + 3) / 4) + first / 4;
#pragma unroll
  for (int k = 0; k < PIECE<T>; k += 4) {
    float four[4];
    draws.uniform(four, index + k / 4);
#pragma unroll
    for (int j = 0; j < 4; j++) to[k + j] = four[j];
  }
}

// y = 0 where what is drawn is below `probability`, elsewhere `rest`: a thread a piece.
template <class T>
__global__ void __launch_bounds__(256)
    dropout_mask(T* y, int y_pitch, const unsigned* __restrict__ state, unsigned stream,
                 float probability, float rest, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  float drawn[PIECE<T>];
  draw<T>(drawn, Draws(state, stream), pixel, first, channels);
  Piece<T> piece;
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    piece.at[j] = first + j < channels && drawn[j] >= probability ? rest : 0.f;
  }
  piece.store(y + pixel * y_pitch + first);
}

// y = 0 in squares of size x size cells, 1 elsewhere; a square begins at each cell of rows x width
// - size + 1 with a chance. `kept` (pictures, channels of all columns) counts what is 1. The parts
// of `columns` are pictures.
template <class T>
__global__ void __launch_bounds__(256)
    drop_squares(T* y, int y_pitch, const unsigned* __restrict__ state, unsigned stream,
                 float chance, int size, int height, int width, float* kept, float* partials,
                 unsigned* done, Columns columns) {
  Sums<1> sums[PIECE<T>] = {};
  int first = columns.piece() * PIECE<T>, channels = columns.channels;
  Draws draws(state, stream);
  int rows = height - size + 1, across = width - size + 1;
  if (columns.piece() < columns.pieces) {
    for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
      Place place(pixel, 1, 0, height, width);
      bool dropped[PIECE<T>] = {};
      for (int i = max(0, place.row - size + 1); i <= min(place.row, rows - 1); i++) {
        for (int j = max(0, place.column - size + 1); j <= min(place.column, across - 1); j++) {
          float drawn[PIECE<T>];
          draw<T>(drawn, draws, (place.picture * rows + i) * across + j, first, channels);
#pragma unroll
          for (int k = 0; k < PIECE<T>; k++) dropped[k] = dropped[k] || drawn[k] < chance;
        }
      }
      Piece<T> piece;
#pragma unroll
      for (int k = 0; k < PIECE<T>; k++) {
        piece.at[k] = first + k < channels && !dropped[k] ? 1.f : 0.f;
        sums[k].at[0] += piece.at[k];
      }
      piece.store(y + pixel * y_pitch + first);
    }
  }
  if (!merge_slices(sums, partials, done)) return;
#pragma unroll
  for (int k = 0; k < PIECE<T>; k++) {
    kept[blockIdx.z * gridDim.x * blockDim.x * PIECE<T> + first + k] = sums[k].at[0];
  }
}

// y divided by the share of its picture (block y) that is kept; `kept` has `counts` for a picture.
template <class T>
__global__ void __launch_bounds__(256)
    rescale(T* y, int y_pitch, const float* __restrict__ kept, int counts, float numbers,
            int pixels, int pieces) {
  Sums<1> sums[1] = {};
  for (int i = threadIdx.y; i < counts; i += 256) sums[0].at[0] += kept[blockIdx.y * counts + i];
  merge_rows(sums);
  __shared__ float factor;
  if (threadIdx.y == 0) factor = numbers / fmaxf(sums[0].at[0], 1.f);
  __syncthreads();
  for (int i = blockIdx.x * 256 + threadIdx.y; i < pixels * pieces; i += gridDim.x * 256) {
    T* at = y + (blockIdx.y * pixels + i / pieces) * y_pitch + i % pieces * PIECE<T>;
    Piece<T> piece = Piece<T>::load(at);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) piece.at[j] *= factor;
    piece.store(at);
  }
}

// Count a step more in the state: one thread.
__global__ void next_step(unsigned* state) {
  state[2]++;
  if (state[2] == 0) state[3]++;
}
