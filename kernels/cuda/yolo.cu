// What the detection heads make of the map before them.
#include "activations.cuh"
#include "elements.cuh"
#include "heads.cuh"
#include "blocks.cuh"
#include "order.cuh"

// [yolo], [Gaussian_yolo]: a thread a piece. A box has `entries` channels.
template <class Head, class T>
__global__ void __launch_bounds__(256)
    head(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, int channels,
         int pieces, int count, int entries, float scale) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    int channel = first + j;
    piece.at[j] =
        channel < channels ? Head::value(piece.at[j], channel % entries, scale) : 0.f;
  }
  piece.store(y + pixel * y_pitch + first);
}

// The same into planes (n, channels, cells): a block turns 32 cells and 32 channels.
template <class Head, class T>
__global__ void __launch_bounds__(256)
    head_planes(const T* __restrict__ x, int x_pitch, float* __restrict__ y, int channels,
                int cells, int entries, float scale) {
  __shared__ float tile[32][33];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, picture = blockIdx.z;
  int cell = blockIdx.x * 32, channel = blockIdx.y * 32 + lane;
#pragma unroll
  for (int row = warp; row < 32; row += 8) {
    if (cell + row < cells && channel < channels) {
      float v = to_float(x[(picture * cells + cell + row) * x_pitch + channel]);
      tile[row][lane] = Head::value(v, channel % entries, scale);
    }
  }
  __syncthreads();
  channel = blockIdx.y * 32;
#pragma unroll
  for (int row = warp; row < 32; row += 8) {
    if (cell + lane < cells && channel + row < channels) {
      y[(picture * channels + channel + row) * cells + cell + lane] = tile[lane][row];
    }
  }
}

// [region]: a warp a box. The numbers of a picture come out in the order (pixel, box, entry),
// wherever `order` says that such a number lies. Classes first[g] .. first[g + 1] share a sum.
template <class In, class Out>
__global__ void __launch_bounds__(256)
    region(const In* __restrict__ x, int x_pitch, Out* __restrict__ y, Order order,
           const int* __restrict__ first, int groups, int cells, int boxes, int entries, int count,
           int pad) {
  int thread = blockIdx.x * 256 + threadIdx.x, lane = threadIdx.x % 32, i = thread / 32;
  int channels = boxes * entries;
  if (thread < count / boxes * pad) {
    int pixel = thread / pad;
    y[pixel * order.pitch + channels + thread % pad] = from_float<Out>(0.f);
  }
  if (i >= count) return;
  int pixel = i / boxes, box = i % boxes, picture = pixel / cells;
  int number = pixel % cells * channels + box * entries;
  const In* from = x + pixel * x_pitch + box * entries;
  auto put = [&](int entry, float value) {
    y[order.at(picture, number + entry)] = from_float<Out>(value);
  };
  if (lane < 5) {
    float v = to_float(from[lane]);
    put(lane, lane == 4 ? activation::logistic::value(v) : v);
  }
  for (int g = 0; g < groups; g++) {
    float most = -3.4e38f, sum = 0;
    for (int k = 5 + first[g] + lane; k < 5 + first[g + 1]; k += 32) {
      most = fmaxf(most, to_float(from[k]));
    }
#pragma unroll
    for (int step = 16; step; step /= 2) most = fmaxf(most, __shfl_xor_sync(~0u, most, step));
    for (int k = 5 + first[g] + lane; k < 5 + first[g + 1]; k += 32) {
      sum += expf(to_float(from[k]) - most);
    }
    sum = warp_sum(sum);
    for (int k = 5 + first[g] + lane; k < 5 + first[g + 1]; k += 32) {
      put(k, expf(to_float(from[k]) - most) / sum);
    }
  }
  for (int k = 5 + first[groups] + lane; k < entries; k += 32) put(k, to_float(from[k]));
}

// Numbers in the order of a [region]'s output in that of its input: a thread a piece.
template <class In, class Out>
__global__ void __launch_bounds__(256)
    region_inverse(const In* __restrict__ y, Order order, Out* __restrict__ x, int x_pitch,
                   int channels, int cells, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<Out>;
  Piece<Out> piece;
#pragma unroll
  for (int j = 0; j < PIECE<Out>; j++) {
    int number = pixel % cells * channels + first + j;
    bool inside = first + j < channels;
    piece.at[j] = inside ? to_float(y[order.at(pixel / cells, number)]) : 0.f;
  }
  piece.store(x + pixel * x_pitch + first);
}
