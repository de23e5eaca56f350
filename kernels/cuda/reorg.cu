// Blocks of cells that become channels, and back: a thread a piece of y.
#include "places.cuh"

// A map y of channels x height x width, and the channels of x; a block is stride x stride cells.
struct Blocks {
  int channels, height, width, given, stride;
};

// Gather a piece of y: `from` gives the address of the number of a channel in x. Where `whole`, the
// piece is one of x too.
template <class T, class From>
DEVICE void gather(T* y, int channels, int first, bool whole, From from) {
  if (whole) {
    store16(y, load16(from(first)));
    return;
  }
  Piece<T> piece;
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    piece.at[j] = first + j < channels ? to_float(*from(first + j)) : 0.f;
  }
  piece.store(y);
}

// y[(a s + b) c + k, j, i] = x[k, j s + a, i s + b], c being the channels of x and s the stride
template <class T>
__global__ void __launch_bounds__(256)
    space_to_depth(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch,
                   Blocks blocks, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, blocks.height, blocks.width);
  int s = blocks.stride;
  gather(y + place.pixel * y_pitch + place.first, blocks.channels, place.first,
         blocks.given % PIECE<T> == 0, [&](int channel) {
           int part = channel / blocks.given;
           int row = (place.picture * blocks.height + place.row) * s + part / s;
           int pixel = row * blocks.width * s + place.column * s + part % s;
           return x + pixel * x_pitch + channel % blocks.given;
         });
}

// y[k, j, i] = x[(a s + b) c + k, j / s, i / s], a = j % s, b = i % s and c the channels of y
template <class T>
__global__ void __launch_bounds__(256)
    depth_to_space(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch,
                   Blocks blocks, int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  Place place(i, pieces, PIECE<T>, blocks.height, blocks.width);
  int s = blocks.stride;
  int row = place.picture * (blocks.height / s) + place.row / s;
  int pixel = row * (blocks.width / s) + place.column / s;
  int part = place.row % s * s + place.column % s;
  const T* from = x + pixel * x_pitch + part * blocks.channels;
  gather(y + place.pixel * y_pitch + place.first, blocks.channels, place.first,
         blocks.channels % PIECE<T> == 0, [&](int channel) { return from + channel; });
}

// What `reorg` of YOLOv2 does to the memory of a planar picture: taken for one of c / s / s
// channels of h s x w s cells it goes from space to depth. Returns which number of x is number i of
// y; c x h x w is the shape of x.
DEVICE int scattered(int i, int c, int h, int w, int s) {
  int less = c / s / s, channel = i / (h * w), row = i / w % h, column = i % w;
  int part = channel / less, k = channel % less;
  return (k * h * s + row * s + part / s) * (w * s) + column * s + part % s;
}

// The inverse, where c x h x w is the shape of y.
DEVICE int gathered(int i, int c, int h, int w, int s) {
  int less = c / s / s, k = i / (h * s * w * s), row = i / (w * s) % (h * s), column = i % (w * s);
  return (((row % s * s + column % s) * less + k) * h + row / s) * w + column / s;
}

// y = x with the numbers of each picture in that order, or in the inverse one.
template <class T, bool INVERSE>
__global__ void __launch_bounds__(256)
    reorg(const T* __restrict__ x, int x_pitch, T* __restrict__ y, int y_pitch, Blocks blocks,
          int pieces, int count) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= count) return;
  int s = blocks.stride, h = blocks.height, w = blocks.width, c = blocks.channels;
  Place place(i, pieces, PIECE<T>, h, w);
  int cells = INVERSE ? h / s * (w / s) : h * s * w * s;  // of a picture of x
  gather(y + place.pixel * y_pitch + place.first, c, place.first, false, [&](int channel) {
    int at = (channel * h + place.row) * w + place.column;
    int from = INVERSE ? gathered(at, c, h, w, s) : scattered(at, blocks.given, h * s, w * s, s);
    return x + (place.picture * cells + from % cells) * x_pitch + from / cells;
  });
}
