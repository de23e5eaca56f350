// A network's input of a picture of bytes: bilinear, corners on corners, as darknet has it.
#include "elements.cuh"

// Sizes of the picture, of what it becomes, and where that lies in an input of h and w.
struct Frame {
  int old_h, old_w, new_h, new_w, top, left, h, w;
  float fill;  // beside the picture
};

struct Place {
  int low, high;  // rows, or columns, between which the new one lies
  float fraction;

  DEVICE Place(int i, int old_size, int new_size) {
    float step = (float)(old_size - 1) / (float)max(1, new_size - 1);
    float at = old_size == new_size ? (float)i : __fmul_rn((float)i, step);
    bool is_last = i == new_size - 1;  // whatever rounding says
    low = is_last ? old_size - 1 : (int)at;
    fraction = is_last ? 0.f : at - (float)low;
    high = min(low + 1, old_size - 1);
  }

  // Products are rounded before they are added, as the reference rounds them.
  DEVICE float mix(float a, float b) const {
    return __fadd_rn(__fmul_rn(a, 1.f - fraction), __fmul_rn(b, fraction));
  }
};

// The channels of a pixel of bytes: red first, or grey. OpenCV's weights of colours in grey.
template <int colours, int channels>
DEVICE float channel_of(const unsigned char* pixel, int channel) {
  int value = pixel[0];
  if (colours == 3 && channels == 3) value = pixel[2 - channel];
  if (colours == 3 && channels == 1) {
    value = (pixel[0] * 3735 + pixel[1] * 19235 + pixel[2] * 9798 + (1 << 14)) >> 15;
  }
  return (float)value / 255.f;
}

template <int colours, int channels>
DEVICE void pixel_of(const unsigned char* image, const Frame& frame, int row, int column,
                     float (&v)[channels]) {
  row -= frame.top, column -= frame.left;
  bool inside = 0 <= row && row < frame.new_h && 0 <= column && column < frame.new_w;
#pragma unroll
  for (int k = 0; k < channels; k++) v[k] = frame.fill;
  if (!inside) return;
  Place down(row, frame.old_h, frame.new_h), right(column, frame.old_w, frame.new_w);
  auto at = [&](int y, int x, int k) {
    return channel_of<colours, channels>(image + (y * frame.old_w + x) * colours, k);
  };
#pragma unroll
  for (int k = 0; k < channels; k++) {
    float above = right.mix(at(down.low, right.low, k), at(down.low, right.high, k));
    float below = right.mix(at(down.high, right.low, k), at(down.high, right.high, k));
    v[k] = down.mix(above, below);
  }
}

// Into a map: a thread a pixel.
template <class T, int colours, int channels>
__global__ void __launch_bounds__(256)
    resize_picture(const unsigned char* __restrict__ image, Frame frame, T* __restrict__ y,
                   int y_pitch) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= frame.h * frame.w) return;
  float v[channels];
  pixel_of<colours, channels>(image, frame, i / frame.w, i % frame.w, v);
  Piece<T> piece;
#pragma unroll
  for (int k = 0; k < PIECE<T>; k++) piece.at[k] = k < channels ? v[k < channels ? k : 0] : 0.f;
  piece.store(y + i * y_pitch);
}

// Into planes (channels, h, w).
template <int colours, int channels>
__global__ void __launch_bounds__(256)
    resize_planes(const unsigned char* __restrict__ image, Frame frame, float* __restrict__ y) {
  int i = blockIdx.x * 256 + threadIdx.x, cells = frame.h * frame.w;
  if (i >= cells) return;
  float v[channels];
  pixel_of<colours, channels>(image, frame, i / frame.w, i % frame.w, v);
#pragma unroll
  for (int k = 0; k < channels; k++) y[k * cells + i] = v[k];
}
