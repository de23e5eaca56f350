// The losses of vectors: gradient and cost, number by number.
#include "order.cuh"
#include "sums.cuh"

constexpr int THREADS = 256;
constexpr float MASKED = -1234;  // nothing is to be learned where a truth is this

struct Squared {
  static DEVICE float learn(float x, float truth, float& cost) {
    cost = (x - truth) * (x - truth);
    return x - truth;
  }
};
struct Masked {
  static DEVICE float learn(float x, float truth, float& cost) {
    if (truth == MASKED) return 0;
    return Squared::learn(x, truth, cost);
  }
};
struct Smooth {
  static DEVICE float learn(float x, float truth, float& cost) {
    float difference = x - truth, size = fabsf(difference);
    cost = size < 1 ? size * size : 2 * size - 1;
    return size >= 1 ? copysignf(1, difference) : difference;
  }
};
struct CrossEntropy {
  static DEVICE float learn(float y, float truth, float& cost) {
    if (truth == MASKED) return 0;
    if (truth != 0) cost = -logf(y);
    return y - truth;
  }
};

// A thread a number of the gradient: of a map of `cells` pixels a picture with `channels`, of which
// `padded` are written, or of an array, as if it were of one cell.
template <class Loss>
__global__ void __launch_bounds__(THREADS)
    vector_loss(const float* __restrict__ x, Order x_order, const float* __restrict__ truth,
                Order truth_order, float* __restrict__ gradient, int pitch, int cells,
                int channels, int padded, int count, float scale, const float* __restrict__ factor,
                float* partial,
                unsigned* counter, float* cost) {
  __shared__ float costs[1][THREADS];
  int i = blockIdx.x * THREADS + threadIdx.x, pixel = i / padded, channel = i % padded;
  float learned = 0, own = 0;
  if (i < count && channel < channels) {
    int picture = pixel / cells, number = channel * cells + pixel % cells;
    learned = Loss::learn(x[x_order.at(picture, number)],
                          truth[truth_order.at(picture, number)], own);
  }
  if (i < count) gradient[pixel * pitch + channel] = scale * factor_of(factor) * learned;
  costs[0][threadIdx.x] = own;
  add_up(costs, blockIdx.x, partial);
  add_blocks<1, THREADS>(partial, gridDim.x, counter, cost, 1);
}
