// Sums of maps of different sizes, each with a weight or not.
#include "activations.cuh"
#include "columns.cuh"
#include "places.cuh"

// Where a map of height x width meets another: cells (i, j) of rows x columns, as every stride-th
// cell of the map and every sample-th of the other one.
struct Meeting {
  int channels, height, width, rows, columns, stride, sample;

  // The pixel of the map that meets one of the other, or -1.
  DEVICE int met(const Place& place) const {
    int i = place.row / sample, j = place.column / sample;
    bool meets = place.row % sample == 0 && place.column % sample == 0 && i < rows && j < columns;
    return meets ? (place.picture * height + i * stride) * width + j * stride : -1;
  }

  // The pixel of the other, of height x width, that one of the map meets, or -1.
  DEVICE int meets(const Place& place, int others_height, int others_width) const {
    int i = place.row / stride, j = place.column / stride;
    bool meets = place.row % stride == 0 && place.column % stride == 0 && i < rows && j < columns;
    return meets ? (place.picture * others_height + i * sample) * others_width + j * sample : -1;
  }
};

// The weights of a piece: one of each channel of a map, or one of all.
template <int COUNT>
DEVICE void load_weights(float (&to)[COUNT], const float* weights, int each, int map, int first) {
#pragma unroll
  for (int j = 0; j < COUNT; j++) {
    to[j] = each == 1 ? weights[map] : first + j < each ? weights[map * each + first + j] : 0.f;
  }
}

template <class T>
DEVICE void add_met(Piece<T>& sum, const T* from, int pitch, const Meeting& meeting,
                    const Place& place, const float (&weights)[PIECE<T>]) {
  int pixel = meeting.met(place);
  if (pixel < 0 || place.first >= meeting.channels) return;
  Piece<T> piece = Piece<T>::load(from + pixel * pitch + place.first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) sum.at[j] += piece.at[j] * weights[j];
}

// y = A(x + the first COUNT of a, b, c): a thread a piece of y, of pictures of height x width. y
// may be x.
template <class T, class A, int COUNT>
__global__ void __launch_bounds__(256)
    shortcut(const T* x, int x_pitch, const T* a, int a_pitch, Meeting with_a, const T* b,
             int b_pitch, Meeting with_b, const T* c, int c_pitch, Meeting with_c, T* y,
             int y_pitch, int height, int width, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, height, width);
  float ones[PIECE<T>];
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) ones[j] = 1.f;
  Piece<T> sum = Piece<T>::load(x + place.pixel * x_pitch + place.first);
  add_met(sum, a, a_pitch, with_a, place, ones);
  if (COUNT > 1) add_met(sum, b, b_pitch, with_b, place, ones);
  if (COUNT > 2) add_met(sum, c, c_pitch, with_c, place, ones);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    sum.at[j] = place.first + j < channels ? A::value(sum.at[j]) : 0.f;
  }
  sum.store(y + place.pixel * y_pitch + place.first);
}

// y = x weights[0] + a weights[map], or y += a weights[map]: a thread a piece of y. The weights are
// (maps, each); those of one map are of all channels or of each.
template <class T>
__global__ void __launch_bounds__(256)
    add_weighted(const T* x, int x_pitch, const T* a, int a_pitch, Meeting with_a,
                 const float* __restrict__ weights, int each, int map, T* y, int y_pitch,
                 int height, int width, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, height, width);
  float shares[PIECE<T>];
  Piece<T> sum = Piece<T>::load(x + place.pixel * x_pitch + place.first);
  if (map == 1) {
    load_weights(shares, weights, each, 0, place.first);
#pragma unroll
    for (int j = 0; j < PIECE<T>; j++) sum.at[j] *= shares[j];
  }
  load_weights(shares, weights, each, map, place.first);
  add_met(sum, a, a_pitch, with_a, place, shares);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) sum.at[j] = place.first + j < channels ? sum.at[j] : 0.f;
  sum.store(y + place.pixel * y_pitch + place.first);
}

// What a map's piece meets in dy, of height x width: zeros if nothing.
template <class T>
DEVICE Piece<T> load_met(const T* dy, int pitch, int height, int width, const Meeting& meeting,
                         const Place& place) {
  int pixel = meeting.meets(place, height, width);
  if (pixel < 0 || place.first >= meeting.channels) return {};
  return Piece<T>::load(dy + pixel * pitch + place.first);
}

// dx = dy where they meet, elsewhere 0: a thread a piece of dx; dy is of height x width.
template <class T>
__global__ void __launch_bounds__(256)
    spread(const T* __restrict__ dy, int dy_pitch, int height, int width, T* __restrict__ dx,
           int dx_pitch, Meeting meeting, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, meeting.height, meeting.width);
  Piece<T> piece = load_met(dy, dy_pitch, height, width, meeting, place);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) piece.at[j] = place.first + j < channels ? piece.at[j] : 0.f;
  piece.store(dx + place.pixel * dx_pitch + place.first);
}

// The same times the weights of a map.
template <class T>
__global__ void __launch_bounds__(256)
    spread_weighted(const T* __restrict__ dy, int dy_pitch, int height, int width,
                    const float* __restrict__ weights, int each, int map, T* __restrict__ dx,
                    int dx_pitch, Meeting meeting, int channels, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, meeting.height, meeting.width);
  Piece<T> piece = load_met(dy, dy_pitch, height, width, meeting, place);
  float shares[PIECE<T>];
  load_weights(shares, weights, each, map, place.first);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    piece.at[j] = place.first + j < channels ? piece.at[j] * shares[j] : 0.f;
  }
  piece.store(dx + place.pixel * dx_pitch + place.first);
}

// sums (channels of dy) = the sum of dy x over the pixels where they meet, which are those of
// `columns`, picture by picture; dy is of height x width.
template <class T>
__global__ void __launch_bounds__(256)
    sum_met(const T* __restrict__ dy, int dy_pitch, int height, int width,
            const T* __restrict__ x, int x_pitch, Meeting meeting, float* sums, float* partials,
            unsigned* done, Columns columns) {
  Sums<1> found[PIECE<T>] = {};
  int first = columns.piece() * PIECE<T>;
  if (first < meeting.channels) {
    for (int pixel = columns.begin(); pixel < columns.end(); pixel += blockDim.y) {
      int j = pixel % meeting.columns, row = pixel / meeting.columns;
      int i = row % meeting.rows, picture = row / meeting.rows;
      int taken = (picture * meeting.height + i * meeting.stride) * meeting.width;
      int onto = (picture * height + i * meeting.sample) * width + j * meeting.sample;
      Piece<T> part = Piece<T>::load(x + (taken + j * meeting.stride) * x_pitch + first);
      Piece<T> delta = Piece<T>::load(dy + onto * dy_pitch + first);
#pragma unroll
      for (int k = 0; k < PIECE<T>; k++) found[k].at[0] += part.at[k] * delta.at[k];
    }
  }
  if (!merge_slices(found, partials, done)) return;
#pragma unroll
  for (int k = 0; k < PIECE<T>; k++) {
    if (first + k < columns.channels) sums[first + k] = found[k].at[0];
  }
}

// total = the sum of a vector: one block.
__global__ void __launch_bounds__(256)
    sum_vector(const float* __restrict__ vector, float* total, int count) {
  Sums<1> sums[1] = {};
  for (int i = threadIdx.y; i < count; i += 256) sums[0].at[0] += vector[i];
  merge_rows(sums);
  if (threadIdx.y == 0) *total = sums[0].at[0];
}
