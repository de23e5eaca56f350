// A convolution whose weights differ from place to place, and its gradients. Weights w (places,
// filters, channels, taps) are float32; they are what takes the time, and are read as they lie.
#include "blocks.cuh"
#include "window.cuh"

constexpr int N = 4;                   // pictures of a block
constexpr int WARPS = 8, FILTERS = 4;  // of a block; of a warp

struct Sizes {
  int pictures, channels, filters, padded;  // of y with the padding
};

// The cell of x that a tap of a place lies on, counted within a picture; -1 if on none.
DEVICE int cell_of(int place, int tap, const Window& s) {
  int high = place / s.cols * s.down - s.padding + tap / s.wide;
  int across = place % s.cols * s.right - s.padding + tap % s.wide;
  bool inside = (unsigned)high < (unsigned)s.h && (unsigned)across < (unsigned)s.w;
  return inside ? high * s.w + across : -1;
}

// y = w x + bias for a place, WARPS * FILTERS filters and N pictures a block. The window of each
// picture is laid out as w is, `chunk` channels at a time.
template <class T, class Out>
__global__ void __launch_bounds__(WARPS * 32, 3)
    local(const T* __restrict__ x, int x_pitch, const float* __restrict__ w,
          const float* __restrict__ bias, Out* __restrict__ y, int y_pitch, Window s, Sizes of,
          int chunk) {
  extern __shared__ __align__(1024) unsigned char smem[];
  float* seen = (float*)smem;  // (N, chunk, taps)
  int place = blockIdx.x, places = s.rows * s.cols, taps = s.high * s.wide;
  int lane = threadIdx.x % 32, start = blockIdx.z * N;
  int first = (blockIdx.y * WARPS + threadIdx.x / 32) * FILTERS, depth = of.channels * taps;
  const float* weights = w + (size_t)place * of.filters * depth;
  float sum[FILTERS][N] = {};
  for (int channel = 0; channel < of.channels; channel += chunk) {
    int count = min(chunk, of.channels - channel);
    __syncthreads();
    for (int i = threadIdx.x; i < N * taps * count; i += WARPS * 32) {
      int c = i % count, tap = i / count % taps, k = i / count / taps;
      int cell = cell_of(place, tap, s), picture = min(start + k, of.pictures - 1);
      int from = (picture * s.h * s.w + cell) * x_pitch + channel + c;
      seen[(k * chunk + c) * taps + tap] = cell < 0 ? 0.f : to_float(x[from]);
    }
    __syncthreads();
    for (int at = lane; at < count * taps; at += 32) {
#pragma unroll
      for (int i = 0; i < FILTERS; i++) {
        int filter = min(first + i, of.filters - 1);
        float weight = weights[(size_t)filter * depth + channel * taps + at];
#pragma unroll
        for (int k = 0; k < N; k++) sum[i][k] += weight * seen[k * chunk * taps + at];
      }
    }
  }
#pragma unroll
  for (int i = 0; i < FILTERS; i++) {
#pragma unroll
    for (int k = 0; k < N; k++) {
      float total = warp_sum(sum[i][k]);
      int filter = first + i, picture = start + k;
      if (lane || filter >= of.padded || picture >= of.pictures) continue;
      bool inside = filter < of.filters;
      float value = inside ? total + bias[filter * places + place] : 0.f;
      y[(picture * places + place) * y_pitch + filter] = from_float<Out>(value);
    }
  }
}

// seen (pictures, places, taps, `padded` channels) = dy w: what the cells under a place's window
// get of it. A thread has one weight of each filter, and N pictures.
template <class T>
__global__ void __launch_bounds__(256)
    local_seen_grad(const T* __restrict__ dy, int dy_pitch, const float* __restrict__ w,
                    float* __restrict__ seen, int places, int taps, int padded, Sizes of) {
  int at = blockIdx.y * 256 + threadIdx.x, place = blockIdx.x, start = blockIdx.z * N;
  int depth = of.channels * taps;
  if (at >= depth) return;
  const float* weights = w + (size_t)place * of.filters * depth + at;
  float sum[N] = {};
  for (int filter = 0; filter < of.filters; filter++) {
    float weight = weights[(size_t)filter * depth];
#pragma unroll
    for (int k = 0; k < N; k++) {
      int picture = min(start + k, of.pictures - 1);
      sum[k] += weight * to_float(dy[(picture * places + place) * dy_pitch + filter]);
    }
  }
#pragma unroll
  for (int k = 0; k < N; k++) {
    if (start + k >= of.pictures) break;
    size_t row = ((size_t)(start + k) * places + place) * taps + at % taps;
    seen[row * padded + at / taps] = sum[k];
  }
}

// dx = of each cell what it gets of all windows that it lies in: a thread a piece.
template <class T>
__global__ void __launch_bounds__(256, 4)
    local_input_grad(const float* __restrict__ seen, T* __restrict__ dx, int dx_pitch, Window s,
                     int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>, padded = pieces * PIECE<T>;
  int across = pixel % s.w, high = pixel / s.w % s.h, picture = pixel / s.w / s.h;
  Piece<T> piece = {};
  for (int a = 0; a < s.high; a++) {
    int below = high + s.padding - a;
    if (below < 0 || below % s.down || below / s.down >= s.rows) continue;
    for (int b = 0; b < s.wide; b++) {
      int beside = across + s.padding - b;
      if (beside < 0 || beside % s.right || beside / s.right >= s.cols) continue;
      int place = below / s.down * s.cols + beside / s.right;
      size_t row = ((size_t)picture * s.rows * s.cols + place) * s.high * s.wide + a * s.wide + b;
      float more[PIECE<T>];
      load_floats(more, seen + row * padded + first);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) piece.at[j] += first + j < channels ? more[j] : 0.f;
    }
  }
  piece.store(dx + pixel * dx_pitch + first);
}

// dw = dy x, or is added to what is there: a thread has one weight of each of 32 filters, and
// keeps what it sees of N pictures.
template <class T>
__global__ void __launch_bounds__(256, 4)
    local_weight_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ x, int x_pitch,
                      float* __restrict__ dw, Window s, Sizes of, int accumulate) {
  int at = blockIdx.y * 256 + threadIdx.x, place = blockIdx.x, places = s.rows * s.cols;
  int taps = s.high * s.wide, depth = of.channels * taps, cell = cell_of(place, at % taps, s);
  if (at >= depth) return;
  int first = blockIdx.z * 32, last = min(first + 32, of.filters);
  for (int start = 0; start < of.pictures; start += N) {
    float seen[N];
#pragma unroll
    for (int k = 0; k < N; k++) {
      bool inside = cell >= 0 && start + k < of.pictures;
      int from = ((start + k) * s.h * s.w + cell) * x_pitch + at / taps;
      seen[k] = inside ? to_float(x[from]) : 0.f;
    }
    for (int filter = first; filter < last; filter++) {
      float* to = dw + ((size_t)place * of.filters + filter) * depth + at;
      float sum = accumulate || start ? *to : 0.f;
#pragma unroll
      for (int k = 0; k < N; k++) {
        int picture = min(start + k, of.pictures - 1);
        sum += seen[k] * to_float(dy[(picture * places + place) * dy_pitch + filter]);
      }
      *to = sum;
    }
  }
}

// db (filters, places) = dy, summed over pictures, or is added to what is there.
template <class T>
__global__ void __launch_bounds__(256)
    local_bias_grad(const T* __restrict__ dy, int dy_pitch, float* __restrict__ db, int pictures,
                    int places, int filters, int accumulate) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= filters * places) return;
  int filter = i % filters, place = i / filters, to = filter * places + place;
  float sum = accumulate ? db[to] : 0.f;
  for (int k = 0; k < pictures; k++) {
    sum += to_float(dy[(k * places + place) * dy_pitch + filter]);
  }
  db[to] = sum;
}
