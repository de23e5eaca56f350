// Gradients of a [yolo] that are taken for those of wrong labels, made 0: darkpy/loss/rejection.py,
// head after head.
//
// The first kernel measures all of a head's numbers; its last block moves the averages and says
// what is too large, or too small. The second rejects, and adds up the squares of what is left. In
// an iteration in which nothing is rejected both return at once.
#include "blocks.cuh"
#include "elements.cuh"
#include "sums.cuh"

constexpr int THREADS = 256;
constexpr int OBJECTNESS = 4;  // entry of a box
constexpr double PACE = .01;   // of averages, and by which the threshold moves
constexpr double NEVER = 3.4028234663852886e38;  // no number is above the largest float

// What is in device memory from launch to launch.
enum Number {
  LARGEST, MEAN, DEVIATION, THRESHOLD,          // Rejection, which goes on from head to head
  ACTS, SIGMAS, PERCENTAGE, DISTANT, PROGRESS,  // Rule, of an iteration
  PAST,
  HIGH, LOW, CUT, COUNTED  // what the first kernel tells the second
};

// Where the gradient lies: `items` of `lanes` numbers each, of a map its pieces, of planes numbers.
struct Deltas {
  int items, pieces, pitch, cells, channels, entries;  // pieces and pitch of a map, cells of planes

  // Where an item begins, and its first channel.
  template <int lanes>
  DEVICE int at(int item, int& channel) const {
    if (lanes == 1) {
      channel = item / cells % channels;
      return item;
    }
    channel = item % pieces * lanes;
    return item / pieces * pitch + channel;
  }
};

template <int lanes>
struct Item {
  Piece<float> piece;
  static DEVICE Item load(const float* from) { return {Piece<float>::load(from)}; }
  DEVICE void store(float* to) const { piece.store(to); }
  DEVICE float& operator[](int i) { return piece.at[i]; }
};
template <>
struct Item<1> {
  float number;
  static DEVICE Item load(const float* from) { return {*from}; }
  DEVICE void store(float* to) const { *to = number; }
  DEVICE float& operator[](int) { return number; }
};

DEVICE double joined(bool by_size, double a, double b) { return by_size ? fmax(a, b) : a + b; }

DEVICE double warp_joined(bool by_size, double value) {
#pragma unroll
  for (int step = 16; step; step /= 2) {
    value = joined(by_size, value, __shfl_xor_sync(~0u, value, step));
  }
  return value;
}

// Join the facts of all threads of all blocks: the `most`-th is the largest, the others are sums.
// The last block returns true, and its threads know the whole.
template <int facts, int most>
DEVICE bool join(const float (&own)[facts], double* partial, unsigned* counter,
                 double (&whole)[facts]) {
  __shared__ double warps[facts][THREADS / 32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, blocks = gridDim.x;
#pragma unroll
  for (int fact = 0; fact < facts; fact++) {
    double value = warp_joined(fact == most, own[fact]);
    if (lane == 0) warps[fact][warp] = value;
  }
  __syncthreads();
  if (threadIdx.x < facts) {
    int fact = threadIdx.x;
    double value = warps[fact][0];
    for (int i = 1; i < THREADS / 32; i++) value = joined(fact == most, value, warps[fact][i]);
    partial[blockIdx.x * facts + fact] = value;
  }
  if (!is_last_block(counter, blocks)) return false;
  for (int fact = warp; fact < facts; fact += THREADS / 32) {
    double value = 0;
    for (int i = lane; i < blocks; i += 32) {
      value = joined(fact == most, value, partial[i * facts + fact]);
    }
    value = warp_joined(fact == most, value);
    if (lane == 0) whole[fact] = value;
  }
  __syncthreads();
  return true;
}

DEVICE double moved(double average, double value) { return average * (1 - PACE) + value * PACE; }

enum Fact { MOST, SIZES, SUM, SQUARES, COUNT, FACTS };

// Move the averages, and say what is rejected: by one thread.
DEVICE void follow(const double (&facts)[FACTS], double* numbers) {
  double count = facts[COUNT], low = 0, high = NEVER, cut = NEVER;
  if (count > 0) {
    double largest = numbers[LARGEST] != 0 ? numbers[LARGEST] : facts[MOST];
    low = numbers[MEAN] * numbers[PROGRESS] * 1.4;
    numbers[LARGEST] = largest = moved(largest, facts[MOST]);
    double mean = numbers[MEAN] = moved(numbers[MEAN], facts[SIZES] / count);
    if (numbers[SIGMAS] != 0) {
      double final = mean + numbers[DEVIATION] * numbers[SIGMAS];
      double squares = facts[SQUARES] + mean * (2 * facts[SUM] + mean * count);
      numbers[DEVIATION] = moved(numbers[DEVIATION], sqrt(fmax(0., squares / count)));
      high = fmax(final, largest - numbers[PAST] * fabs(largest - final));
      low = fmin(final, mean) * numbers[PROGRESS];
    }
    if (numbers[PERCENTAGE] != 0) {
      if (numbers[THRESHOLD] == 0) numbers[THRESHOLD] = largest;
      cut = numbers[THRESHOLD];
    }
    if (numbers[DISTANT] == 0) low = 0;
  }
  numbers[HIGH] = high, numbers[LOW] = low, numbers[CUT] = cut, numbers[COUNTED] = count;
}

template <int lanes>
__global__ void __launch_bounds__(THREADS)
    measure_deltas(const float* __restrict__ gradient, Deltas deltas, double* numbers,
                   double* partial, unsigned* counter) {
  __shared__ double whole[FACTS];
  if (numbers[ACTS] == 0) return;
  float own[FACTS] = {};
  for (int i = blockIdx.x * THREADS + threadIdx.x; i < deltas.items; i += gridDim.x * THREADS) {
    int channel;
    Item<lanes> item = Item<lanes>::load(gradient + deltas.at<lanes>(i, channel));
#pragma unroll
    for (int j = 0; j < lanes; j++) {
      float one = item[j], size = fabsf(one);
      own[MOST] = fmaxf(own[MOST], size);
      own[SIZES] += size, own[SUM] += one, own[SQUARES] += one * one, own[COUNT] += one != 0;
    }
  }
  if (join<FACTS, MOST>(own, partial, counter, whole) && threadIdx.x == 0) follow(whole, numbers);
}

enum Left { BOX, SURE, CLASSES, LEFT, GONE, LEFTS };  // squares of three kinds; counts

// Make 0 what is rejected; multiply the rest. `squares` become the sums of the squares before that.
template <int lanes>
__global__ void __launch_bounds__(THREADS)
    reject_deltas(float* gradient, Deltas deltas, double* numbers, float delta_normalizer,
                  const float* __restrict__ factor, double* partial, unsigned* counter,
                  float* squares) {
  __shared__ double whole[LEFTS];
  if (numbers[ACTS] == 0) return;
  float high = (float)numbers[HIGH], low = (float)numbers[LOW], cut = (float)numbers[CUT];
  float by = delta_normalizer * factor_of(factor), own[LEFTS] = {};
  for (int i = blockIdx.x * THREADS + threadIdx.x; i < deltas.items; i += gridDim.x * THREADS) {
    int channel;
    float* place = gradient + deltas.at<lanes>(i, channel);
    Item<lanes> item = Item<lanes>::load(place);
    bool any = false;
#pragma unroll
    for (int j = 0; j < lanes; j++) {
      int entry = (channel + j) % deltas.entries;
      float one = item[j];
      any |= one != 0;
      if (fabsf(one) > high) one = 0;
      own[LEFT] += one != 0;
      if (fabsf(one) > cut) one = 0, own[GONE]++;
      if (fabsf(one) < low) one = 0;
      own[BOX] += entry < OBJECTNESS ? one * one : 0.f;
      own[SURE] += entry == OBJECTNESS ? one * one : 0.f;
      own[CLASSES] += entry > OBJECTNESS ? one * one : 0.f;
      item[j] = one * by;
    }
    if (any) item.store(place);
  }
  if (!join<LEFTS, -1>(own, partial, counter, whole)) return;
  if (threadIdx.x <= CLASSES) squares[threadIdx.x] = (float)whole[threadIdx.x];
  if (threadIdx.x == 0 && numbers[PERCENTAGE] != 0 && numbers[COUNTED] > 0) {
    double share = 100 * deltas.entries * whole[GONE] / whole[LEFT];
    if (share > numbers[PERCENTAGE]) {
      numbers[THRESHOLD] += PACE;
    } else if (numbers[THRESHOLD] > PACE) {
      numbers[THRESHOLD] -= PACE;
    }
  }
}
