// Local response normalisation over channels: a thread a piece.
#include "elements.cuh"

// Windows of channels k - before .. k + after, as far as there are.
struct Window {
  int before, after, channels;
  float alpha, beta, kappa;

  // kappa + alpha times the sum of squares in the window of a channel.
  template <class T>
  DEVICE float norm(const T* pixel, int channel) const {
    float sum = 0.f;
    for (int k = max(0, channel - before); k <= min(channels - 1, channel + after); k++) {
      float number = to_float(pixel[k]);
      sum += number * number;
    }
    return kappa + alpha * sum;
  }
};

// y = x norm ^ -beta
template <class T>
__global__ void __launch_bounds__(256, 4)
    lrn(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, Window window,
        int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    if (first + j >= window.channels) continue;
    piece.at[j] *= powf(window.norm(x + pixel * x_pitch, first + j), -window.beta);
  }
  piece.store(y + pixel * y_pitch + first);
}

// What `lrn_grad` sums over windows, dy x norm ^ (-beta - 1), and norm: of each number of x.
template <class T>
__global__ void __launch_bounds__(256, 4)
    lrn_parts(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ x, int x_pitch,
              float* parts, float* norms, Window window, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
  Piece<T> delta = Piece<T>::load(dy + pixel * dy_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    float norm = window.norm(x + pixel * x_pitch, first + j);
    norms[i * PIECE<T> + j] = norm;
    parts[i * PIECE<T> + j] = delta.at[j] * piece.at[j] * powf(norm, -window.beta - 1.f);
  }
}

// dx = dy norm ^ -beta - 2 alpha beta x (the parts of the windows that a channel is in)
template <class T>
__global__ void __launch_bounds__(256, 4)
    lrn_grad(const T* __restrict__ dy, int dy_pitch, const T* __restrict__ x, int x_pitch,
             const float* __restrict__ parts, const float* __restrict__ norms, T* __restrict__ dx,
             int dx_pitch, Window window, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int pixel = i / pieces, first = i % pieces * PIECE<T>;
  Piece<T> piece = Piece<T>::load(x + pixel * x_pitch + first);
  Piece<T> delta = Piece<T>::load(dy + pixel * dy_pitch + first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    int channel = first + j;
    if (channel >= window.channels) continue;
    float inner = 0.f;
    int last = min(window.channels - 1, channel + window.before);
    for (int k = max(0, channel - window.after); k <= last; k++) {
      inner += parts[pixel * pieces * PIECE<T> + k];
    }
    float power = powf(norms[i * PIECE<T> + j], -window.beta);
    piece.at[j] =
        delta.at[j] * power - 2.f * window.alpha * window.beta * piece.at[j] * inner;
  }
  piece.store(dx + pixel * dx_pitch + first);
}
