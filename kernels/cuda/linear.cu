// A picture, read as one vector, times a matrix, and the gradient of the picture: for so few
// pictures that the matrix is what takes the time. It lies as [filter][pixel][channel] with
// channels in whole pieces, so that both are read 16 bytes at a time.
#include "activations.cuh"
#include "blocks.cuh"
#include "elements.cuh"

constexpr int WARPS = 4, FILTERS = 2;  // of a block; of a warp

// y = A(w x + bias) for N pictures from blockIdx.y * N on.
template <class T, class Out, class A, int N>
__global__ void __launch_bounds__(WARPS * 32, 4)
    linear(const T* __restrict__ x, int x_pitch, const T* __restrict__ w,
           const float* __restrict__ bias, Out* __restrict__ y, int y_pitch, int pictures,
           int pixels, int pieces, int filters, int padded) {
  int lane = threadIdx.x % 32, first = (blockIdx.x * WARPS + threadIdx.x / 32) * FILTERS;
  int depth = pixels * pieces, start = blockIdx.y * N;
  float sum[FILTERS][N] = {};
  for (int at = lane; at < depth && first < filters; at += 32) {
    Piece<T> weights[FILTERS];
#pragma unroll
    for (int i = 0; i < FILTERS; i++) {
      int filter = min(first + i, filters - 1);
      weights[i] = Piece<T>::load(w + ((size_t)filter * depth + at) * PIECE<T>);
    }
    const T* from = x + at / pieces * x_pitch + at % pieces * PIECE<T>;
#pragma unroll
    for (int k = 0; k < N; k++) {
      int picture = min(start + k, pictures - 1);
      Piece<T> cell = Piece<T>::load(from + picture * pixels * x_pitch);
#pragma unroll
      for (int i = 0; i < FILTERS; i++) {
#pragma unroll
        for (int j = 0; j < PIECE<T>; j++) sum[i][k] += weights[i].at[j] * cell.at[j];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < FILTERS; i++) {
#pragma unroll
    for (int k = 0; k < N; k++) {
      float total = warp_sum(sum[i][k]);
      int filter = first + i, picture = start + k;
      if (lane || filter >= padded || picture >= pictures) continue;
      bool inside = filter < filters;
      float value = A::value(total + (bias && inside ? bias[filter] : 0.f));
      y[picture * y_pitch + filter] = from_float<Out>(inside ? value : 0.f);
    }
  }
}

// dx = dy w for N pictures from blockIdx.y * N on. A block has 8 pieces of a picture and 32
// strands, each of which takes every 32nd filter.
template <class T, int N>
__global__ void __launch_bounds__(256, 2)
    linear_input_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ w,
                      T* __restrict__ dx, int dx_pitch, int pictures, int pixels, int pieces,
                      int filters) {
  constexpr int P = PIECE<T>;
  __shared__ float sums[8][N][8 * P];
  int among = threadIdx.x % 8, strand = threadIdx.x / 8, at = blockIdx.x * 8 + among;
  int depth = pixels * pieces, start = blockIdx.y * N;
  float sum[N][P] = {};
  for (int filter = strand; filter < filters && at < depth; filter += 32) {
    Piece<T> weights = Piece<T>::load(w + ((size_t)filter * depth + at) * P);
#pragma unroll
    for (int k = 0; k < N; k++) {
      float delta = to_float(dy[min(start + k, pictures - 1) * dy_pitch + filter]);
#pragma unroll
      for (int j = 0; j < P; j++) sum[k][j] += delta * weights.at[j];
    }
  }
#pragma unroll
  for (int k = 0; k < N; k++) {
#pragma unroll
    for (int j = 0; j < P; j++) {
      sum[k][j] += __shfl_xor_sync(~0u, sum[k][j], 8);
      sum[k][j] += __shfl_xor_sync(~0u, sum[k][j], 16);
      if (threadIdx.x % 32 < 8) sums[threadIdx.x / 32][k][among * P + j] = sum[k][j];
    }
  }
  __syncthreads();
  int k = strand;
  if (k >= N || start + k >= pictures || at >= depth) return;
  Piece<T> piece = {};
#pragma unroll
  for (int warp = 0; warp < 8; warp++) {
#pragma unroll
    for (int j = 0; j < P; j++) piece.at[j] += sums[warp][k][among * P + j];
  }
  int pixel = (start + k) * pixels + at / pieces;
  piece.store(dx + pixel * dx_pitch + at % pieces * P);
}
