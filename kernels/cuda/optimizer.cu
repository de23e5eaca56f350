// The steps of an optimizer over all parameters at once. These lie in one flat array, as do their
// gradients, their moments and their averages, at the same places in each. A table says which of
// them move and how: a block a row of it. What changes from step to step is read from memory, so
// that a launch may be recorded once and repeated.
#include "elements.cuh"

// Numbers of a step, in the order of NUMBERS in optimizer.py.
enum { ITERATION, RATE, DECAY, KEEP, REST, KEEP_SQUARE, REST_SQUARE, ROOT, EPS, ALPHA, BETA };
// What a training remembers of its gradients, in the order of STATE in optimizer.py.
enum { SCALE, FACTOR, FINITE, GOOD, SKIPPED, LEFT };
enum { START, COUNT, FIRST };  // of a row's place
enum { SHARE, DECAYS, CLIP };  // of its factors; both have 4 numbers

constexpr int STRIDE = 256 * PIECE<float>;
constexpr float LEAST_SCALE = 1.f, MOST_SCALE = 1 << 24;

DEVICE bool is_finite(float x) { return (__float_as_uint(x) & 0x7F800000u) != 0x7F800000u; }

DEVICE float mended(float gradient, int mends) {
  return !mends || is_finite(gradient) ? gradient : 0.f;
}

// Momentum, as reference/optimizer.py:sgd_step has it.
struct Sgd {
  float rate, decay, momentum;
  DEVICE Sgd(const float* numbers, const float* factors)
      : rate(numbers[RATE] * factors[SHARE]),
        decay(numbers[DECAY] * factors[DECAYS]),
        momentum(numbers[KEEP]) {}
  DEVICE void move(float& w, float gradient, float& buffer, float&) const {
    float update = buffer - gradient - decay * w;
    w += rate * update;
    buffer = momentum * update;
  }
};

// adam_step of the same.
struct Adam {
  float rate, decay, keep, rest, keep_square, rest_square, root, eps;
  DEVICE Adam(const float* numbers, const float* factors)
      : rate(numbers[RATE] * factors[SHARE]),
        decay(numbers[DECAY] * factors[DECAYS]),
        keep(numbers[KEEP]),
        rest(numbers[REST]),
        keep_square(numbers[KEEP_SQUARE]),
        rest_square(numbers[REST_SQUARE]),
        root(numbers[ROOT]),
        eps(numbers[EPS]) {}
  DEVICE void move(float& w, float gradient, float& m, float& v) const {
    float update = -gradient - decay * w;
    m = keep * m + rest * update;
    v = keep_square * v + rest_square * (update * update);
    w += rate * m / (sqrtf(v * root) + eps);
  }
};

// Move what a thread sees of a row by a rule; tell whether all stays finite. Clipping leaves what
// is no number as it is.
template <class Rule, int count>
DEVICE bool move(const Rule& rule, float clip, float (&w)[count], const float (&gradient)[count],
                 float (&m)[count], float (&v)[count]) {
  bool sound = true;
#pragma unroll
  for (int j = 0; j < count; j++) {
    rule.move(w[j], gradient[j], m[j], v[j]);
    if (clip) w[j] = w[j] > clip ? clip : w[j] < -clip ? -clip : w[j];
    sound &= is_finite(w[j]) & is_finite(m[j]) & is_finite(v[j]);
  }
  return sound;
}

// One step. It moves nothing if the gradients are not finite; LEFT tells that a parameter or a
// moment is not. `v` is not used by Sgd.
template <class Rule, bool squares>
__global__ void __launch_bounds__(256)
    step(const int* __restrict__ places, const float* __restrict__ factors,
         const float* __restrict__ numbers, float* state, const float* __restrict__ gradient,
         float* __restrict__ w, float* __restrict__ m, float* __restrict__ v, int mends) {
  const int* place = places + 4 * blockIdx.x;
  if (!state[FINITE] || numbers[ITERATION] < (float)place[FIRST]) return;
  Rule rule(numbers, factors + 4 * blockIdx.x);
  float clip = factors[4 * blockIdx.x + CLIP], factor = state[FACTOR];
  int end = place[START] + place[COUNT];
  bool sound = true;
  for (int i = place[START] + threadIdx.x * PIECE<float>; i < end; i += STRIDE) {
    if (i + PIECE<float> <= end) {
      Piece<float> a = Piece<float>::load(w + i), g = Piece<float>::load(gradient + i);
      Piece<float> b = Piece<float>::load(m + i), c = {};
      if (squares) c = Piece<float>::load(v + i);
#pragma unroll
      for (int j = 0; j < PIECE<float>; j++) g.at[j] = mended(g.at[j], mends) * factor;
      sound &= move(rule, clip, a.at, g.at, b.at, c.at);
      a.store(w + i);
      b.store(m + i);
      if (squares) c.store(v + i);
    } else {
      for (int k = i; k < end; k++) {
        float a[1] = {w[k]}, g[1] = {mended(gradient[k], mends) * factor};
        float b[1] = {m[k]}, c[1] = {squares ? v[k] : 0.f};
        sound &= move(rule, clip, a, g, b, c);
        w[k] = a[0];
        m[k] = b[0];
        if (squares) v[k] = c[0];
      }
    }
  }
  if (__syncthreads_or(!sound) && threadIdx.x == 0) atomicExch(state + LEFT, 1.f);
}

// average = ALPHA average + BETA w, unless the step was skipped.
__global__ void __launch_bounds__(256)
    follow(const int* __restrict__ places, const float* __restrict__ numbers,
           const float* __restrict__ state, float* __restrict__ average,
           const float* __restrict__ w) {
  const int* place = places + 4 * blockIdx.x;
  if (!state[FINITE]) return;
  float alpha = numbers[ALPHA], beta = numbers[BETA];
  int end = place[START] + place[COUNT];
  for (int i = place[START] + threadIdx.x * PIECE<float>; i < end; i += STRIDE) {
    if (i + PIECE<float> <= end) {
      Piece<float> mean = Piece<float>::load(average + i), now = Piece<float>::load(w + i);
#pragma unroll
      for (int j = 0; j < PIECE<float>; j++) mean.at[j] = alpha * mean.at[j] + beta * now.at[j];
      mean.store(average + i);
    } else {
      for (int k = i; k < end; k++) average[k] = alpha * average[k] + beta * w[k];
    }
  }
}

// Take from the gradients of each filter their mean: a block a filter (start, count).
__global__ void __launch_bounds__(128)
    centre(const int* __restrict__ filters, float* __restrict__ gradient, int mends) {
  __shared__ float sums[4];
  int start = filters[2 * blockIdx.x], count = filters[2 * blockIdx.x + 1];
  float sum = 0.f;
  for (int i = threadIdx.x; i < count; i += 128) sum += mended(gradient[start + i], mends);
  for (int away = 16; away; away /= 2) sum += __shfl_xor_sync(~0u, sum, away);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  float mean = (sums[0] + sums[1] + sums[2] + sums[3]) / (float)count;
  for (int i = threadIdx.x; i < count; i += 128) {
    gradient[start + i] = mended(gradient[start + i], mends) - mean;
  }
}

// Find whether all gradients are finite, and what follows from it. `patience` is how many steps
// in a row double the scale of the loss; 0 leaves the scale alone. `counters` are the blocks that
// are done and whether one found a number that is not finite.
__global__ void __launch_bounds__(256)
    check_finite(const float* __restrict__ gradient, int count, float* state, unsigned* counters,
           int patience, int mends) {
  bool sound = true;
  int whole = count / PIECE<float> * PIECE<float>;
  for (int i = (blockIdx.x * 256 + threadIdx.x) * PIECE<float>; i < whole;
       i += gridDim.x * STRIDE) {
    Piece<float> piece = Piece<float>::load(gradient + i);
#pragma unroll
    for (int j = 0; j < PIECE<float>; j++) sound &= is_finite(piece.at[j]);
  }
  if (blockIdx.x == 0 && whole + threadIdx.x < count) {
    sound &= is_finite(gradient[whole + threadIdx.x]);
  }
  bool found = __syncthreads_or(!sound);
  if (threadIdx.x) return;
  if (found) atomicOr(counters + 1, 1u);
  __threadfence();
  if (atomicAdd(counters, 1u) != gridDim.x - 1) return;
  __threadfence();
  bool bad = atomicExch(counters + 1, 0u);
  atomicExch(counters, 0u);
  float scale = state[SCALE], good = bad ? 0.f : state[GOOD] + 1.f;
  state[FACTOR] = 1.f / scale;
  state[FINITE] = bad && !mends ? 0.f : 1.f;
  if (bad && !mends) state[SKIPPED] += 1.f;
  if (patience && bad) {
    scale = fmaxf(scale / 2, LEAST_SCALE);
  } else if (patience && good >= (float)patience) {
    scale = fminf(scale * 2, MOST_SCALE);
    good = 0.f;
  }
  state[SCALE] = scale;
  state[GOOD] = good;
}
