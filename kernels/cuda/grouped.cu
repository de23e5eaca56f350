// Convolution of groups of any size, and its gradients. A piece of outputs depends on a band of
// neighbouring pieces of inputs, those of its groups; between a piece of each there is a small
// matrix for each tap, zero where they are of different groups.
#include "activations.cuh"
#include "window.cuh"

constexpr int COLUMNS = 4;

// Which inputs outputs depend on. Forward: channels and filters; back: filters and channels.
struct Bands {
  int outputs, inputs;            // in all
  int group_outputs, group_inputs;
  int depth;                      // most pieces of inputs of a piece of outputs

  DEVICE int first(int output) const { return output / group_outputs * group_inputs; }
  DEVICE bool meet(int output, int input) const {
    return output < outputs && input < inputs && output / group_outputs == input / group_inputs;
  }
};

// bands (pieces of outputs, taps, depth, inputs of a piece, outputs of a piece) of w (filters,
// channels of a group, taps).
template <class T, bool BACK>
__global__ void __launch_bounds__(256)
    pack_bands(const float* __restrict__ w, float* __restrict__ bands, Bands s, int taps,
               int count) {
  constexpr int P = PIECE<T>;
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int piece = i / (P * P * s.depth * taps), tap = i / (P * P * s.depth) % taps;
  int output = piece * P + i % P;
  int input = (s.first(piece * P) / P + i / (P * P) % s.depth) * P + i / P % P;
  int filter = BACK ? input : output, channel = BACK ? output : input;
  int channels = BACK ? s.group_outputs : s.group_inputs;
  bands[i] = s.meet(output, input) ? w[(filter * channels + channel % channels) * taps + tap] : 0;
}

// The cell or place that a tap takes to a place (or back from a place to a cell); -1 if there is
// none.
template <bool BACK>
DEVICE int source(int at, int tap, int step, int dilation, int padding, int count) {
  int to = BACK ? at + padding - tap * dilation : at * step - padding + tap * dilation;
  if (to < 0 || (BACK && to % step)) return -1;
  if (BACK) to /= step;
  return to < count ? to : -1;
}

template <class T, class Out, class A, Residual RESIDUAL, bool BACK>
__global__ void __launch_bounds__(128, 4)
    grouped(const T* __restrict__ x, int x_pitch, const float* __restrict__ bands,
            const float* __restrict__ bias, const Out* r, int r_pitch,
            Out* y, int y_pitch, Window s, Bands of, int pieces, int count) {
  constexpr int P = PIECE<T>;
  int i = blockIdx.x * 128 + threadIdx.x;
  if (i >= count) return;
  int rows = BACK ? s.h : s.rows, cols = BACK ? s.w : s.cols;        // of y
  int from_rows = BACK ? s.rows : s.h, from_cols = BACK ? s.cols : s.w;
  int strips = (cols + COLUMNS - 1) / COLUMNS;
  int piece = i % pieces, left = i / pieces % strips * COLUMNS;
  int line = i / pieces / strips, image = line / rows, row = line % rows;
  int start = of.first(piece * P) / P * P;
  const float* band = bands + piece * s.high * s.wide * of.depth * P * P;
  float sum[COLUMNS][P] = {};
  for (int a = 0; a < s.high; a++) {
    int high = source<BACK>(row, a, s.down, s.dilation, s.padding, from_rows);
    if (high < 0) continue;
    const T* from = x + (image * from_rows + high) * from_cols * x_pitch;
    for (int b = 0; b < s.wide; b++) {
      const float* tap = band + (a * s.wide + b) * of.depth * P * P;
      for (int input = start; input < start + of.depth * P && input < of.inputs; input += P) {
        Piece<T> cell[COLUMNS] = {};
#pragma unroll
        for (int o = 0; o < COLUMNS; o++) {
          int across = source<BACK>(left + o, b, s.right, s.dilation, s.padding, from_cols);
          if (across >= 0) cell[o] = Piece<T>::load(from + across * x_pitch + input);
        }
#pragma unroll
        for (int k = 0; k < P; k++) {
          float weight[P];
          load_floats(weight, tap + (input - start + k) * P);
#pragma unroll
          for (int o = 0; o < COLUMNS; o++) {
#pragma unroll
            for (int j = 0; j < P; j++) sum[o][j] += cell[o].at[k] * weight[j];
          }
        }
      }
    }
  }
#pragma unroll
  for (int o = 0; o < COLUMNS; o++) {
    if (left + o >= cols) break;
    int pixel = line * cols + left + o, first = piece * P;
    finish<Out, A, RESIDUAL>(sum[o], bias, r + pixel * r_pitch + first,
                             y + pixel * y_pitch + first, first, of.outputs);
  }
}

// Sums over some rows of dy, one part a blockIdx.y: parts (gridDim.y, taps, depth, pieces of
// filters, filters of a piece, channels of a piece). A block has 8 pieces of filters and 32
// strands, each of which takes every so many-th row; blockIdx.z is a tap and a piece of the band.
template <class T>
__global__ void __launch_bounds__(256, 2)
    grouped_weight_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ x,
                        int x_pitch, float* __restrict__ parts, Window s, Bands of, int pieces,
                        int lines) {
  constexpr int P = PIECE<T>;
  __shared__ float sums[8][8][P * P];
  int strand = threadIdx.x / 8, among = threadIdx.x % 8, piece = blockIdx.x * 8 + among;
  int tap = blockIdx.z / of.depth, a = tap / s.wide, b = tap % s.wide;
  int input = (of.first(piece * P) / P + blockIdx.z % of.depth) * P;
  bool inside = piece < pieces && input < of.inputs;
  float sum[P][P] = {};
  for (int line = blockIdx.y * 32 + strand; line < lines && inside; line += gridDim.y * 32) {
    int high = source<false>(line % s.rows, a, s.down, s.dilation, s.padding, s.h);
    if (high < 0) continue;
    const T* from = x + (line / s.rows * s.h + high) * s.w * x_pitch + input;
    const T* delta = dy + line * s.cols * dy_pitch + piece * P;
    for (int col = 0; col < s.cols; col++) {
      int column = source<false>(col, b, s.right, s.dilation, s.padding, s.w);
      if (column < 0) continue;
      Piece<T> change = Piece<T>::load(delta + col * dy_pitch);
      Piece<T> cell = Piece<T>::load(from + column * x_pitch);
#pragma unroll
      for (int i = 0; i < P; i++) {
#pragma unroll
        for (int j = 0; j < P; j++) sum[i][j] += change.at[i] * cell.at[j];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < P; i++) {
#pragma unroll
    for (int j = 0; j < P; j++) {
      sum[i][j] += __shfl_xor_sync(~0u, sum[i][j], 8);
      sum[i][j] += __shfl_xor_sync(~0u, sum[i][j], 16);
      if (threadIdx.x % 32 < 8) sums[threadIdx.x / 32][among][i * P + j] = sum[i][j];
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 8 * P * P; i += 256) {
    int at = i / (P * P);
    if (blockIdx.x * 8 + at >= pieces) continue;
    float total = 0;
#pragma unroll
    for (int warp = 0; warp < 8; warp++) total += sums[warp][at][i % (P * P)];
    int to = (blockIdx.y * gridDim.z + blockIdx.z) * pieces + blockIdx.x * 8 + at;
    parts[to * P * P + i % (P * P)] = total;
  }
}

// dw (filters, channels of a group, taps) = the sum over parts, in their order; or is added to
// what is there.
template <class T>
__global__ void __launch_bounds__(256)
    sum_bands(const float* __restrict__ parts, float* __restrict__ dw, int count, Bands of,
              int pieces, int taps, int accumulate) {
  constexpr int P = PIECE<T>;
  int i = blockIdx.x * 256 + threadIdx.x, channels = of.group_inputs;
  if (i >= of.outputs * channels * taps) return;
  int within = i % channels, tap = i / channels % taps, filter = i / channels / taps;
  int piece = filter / P, channel = of.first(filter) + within;
  int deep = channel / P - of.first(piece * P) / P;
  int from = (((tap * of.depth + deep) * pieces + piece) * P + filter % P) * P + channel % P;
  int size = taps * of.depth * pieces * P * P;
  float total = 0;
  for (int part = 0; part < count; part++) total += parts[(size_t)part * size + from];
  int to = (filter * channels + within) * taps + tap;
  dw[to] = accumulate ? dw[to] + total : total;
}
