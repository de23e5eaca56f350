// Weights, float32 in darknet's order, as products of matrices read them.
#include "elements.cuh"

// The i-th number of packed weights [group][row][tap][column] of w, whose rows or columns of a
// group are its filters, the others its channels: `turned`. From `columns` to `padded` there are
// zeros.
template <class T>
DEVICE T weight_at(const float* w, int rows, int columns, int padded, int taps, int turned, int i) {
  int column = i % padded, rest = i / padded, tap = rest % taps;
  rest /= taps;
  int row = rest % rows, group = rest / rows;
  int filter = turned ? column : row, channel = turned ? row : column;
  int filters = turned ? columns : rows, channels = turned ? rows : columns;
  int from = ((group * filters + filter) * channels + channel) * taps + tap;
  return from_float<T>(column < columns ? w[from] : 0.f);
}

template <class T>
__global__ void __launch_bounds__(256)
    pack(const float* __restrict__ w, T* __restrict__ packed, int rows, int columns, int padded,
         int taps, int turned, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i < count) packed[i] = weight_at<T>(w, rows, columns, padded, taps, turned, i);
}

// The same of many weights, of one array to another: a block does what a row of `chunks` says.
struct Chunk {
  int from, to;  // where the weights begin, and where they go
  int rows, columns, padded, taps, turned;
  int first, count;  // numbers of `packed` that the block writes
};

template <class T>
__global__ void __launch_bounds__(256)
    pack_many(const Chunk* __restrict__ chunks, const float* __restrict__ w,
              T* __restrict__ packed) {
  const Chunk c = chunks[blockIdx.x];
  for (int i = c.first + threadIdx.x; i < c.first + c.count; i += 256) {
    packed[c.to + i] = weight_at<T>(w + c.from, c.rows, c.columns, c.padded, c.taps, c.turned, i);
  }
}
