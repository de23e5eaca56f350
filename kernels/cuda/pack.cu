// Weights, float32 in darknet's order, as products of matrices read them.
#include "elements.cuh"

// packed [group][row][tap][column] from w (rows or columns of a group are its filters, the others
// its channels: `turned`), with zeros from `columns` to `padded`.
template <class T>
__global__ void __launch_bounds__(256)
    pack(const float* __restrict__ w, T* __restrict__ packed, int rows, int columns, int padded,
         int taps, int turned, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int column = i % padded, rest = i / padded, tap = rest % taps;
  rest /= taps;
  int row = rest % rows, group = rest / rows;
  int filter = turned ? column : row, channel = turned ? row : column;
  int filters = turned ? columns : rows, channels = turned ? rows : columns;
  int from = ((group * filters + filter) * channels + channel) * taps + tap;
  packed[i] = from_float<T>(column < columns ? w[from] : 0.f);
}
