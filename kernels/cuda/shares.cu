// Activations over channels: parts of numbers, none of them negative, over their sum and EPSILON.
#include "lanes.cuh"

__device__ constexpr float EPSILON = 1e-4f;

// What the parts are: of a number x, where `most` is the largest of the channels; and the gradient
// of x by that of its part. Where they depend on it, `most` has a gradient too.
namespace parts {
struct normalize_channels {
  static constexpr bool by_most = false;
  static DEVICE float value(float x, float) { return fmaxf(x, 0.f); }
  static DEVICE float gradient(float dp, float, float x) { return x > 0.f ? dp : 0.f; }
};
struct normalize_channels_softmax {
  static constexpr bool by_most = false;
  static DEVICE float value(float x, float) { return expf(x); }
  static DEVICE float gradient(float dp, float p, float) { return dp * p; }
};
struct normalize_channels_softmax_maxval {
  static constexpr bool by_most = true;
  static DEVICE float value(float x, float most) { return expf(x - most); }
  static DEVICE float gradient(float dp, float p, float) { return dp * p; }
};
}  // namespace parts

// The channels of a pixel of a map, of which a lane has some. `read` calls each(x, dy) for every
// one, `write` makes y of what it gives; dy is x where there is none.
template <class T>
struct MapPixel {
  const Lanes& of;
  int channels, pieces;
  const T *x, *dy;
  T* y;

  template <class Each>
  DEVICE void read(Each each) const {
    of.pieces<T>(pieces, [&](int first) {
      Piece<T> piece = Piece<T>::load(x + first), delta = Piece<T>::load(dy + first);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) {
        if (first + j < channels) each(piece.at[j], delta.at[j]);
      }
    });
  }
  template <class Each>
  DEVICE void write(Each each) const {
    of.pieces<T>(pieces, [&](int first) {
      Piece<T> piece = Piece<T>::load(x + first), delta = Piece<T>::load(dy + first);
#pragma unroll
      for (int j = 0; j < PIECE<T>; j++) {
        piece.at[j] = first + j < channels ? each(piece.at[j], delta.at[j]) : 0.f;
      }
      piece.store(y + first);
    });
  }
};

// The same of a planar array, whose channels are `step` apart.
struct PlanarPixel {
  const Lanes& of;
  int channels, step;
  const float *x, *dy;
  float* y;

  template <class Each>
  DEVICE void read(Each each) const {
    for (int k = of.lane; of.inside && k < channels; k += of.lanes) each(x[k * step], dy[k * step]);
  }
  template <class Each>
  DEVICE void write(Each each) const {
    for (int k = of.lane; of.inside && k < channels; k += of.lanes) {
      y[k * step] = each(x[k * step], dy[k * step]);
    }
  }
};

template <class Parts, class Pixel>
DEVICE float largest(const Lanes& of, const Pixel& pixel) {
  float most = __int_as_float(0xFF800000);
  if (!Parts::by_most) return most;
  pixel.read([&](float x, float) { most = fmaxf(most, x); });
  return of.most(most);
}

template <class Parts, class Pixel>
DEVICE void give_shares(const Lanes& of, const Pixel& pixel) {
  float most = largest<Parts>(of, pixel), sum = 0.f;
  pixel.read([&](float x, float) { sum += Parts::value(x, most); });
  float share = 1.f / (of.sum(sum) + EPSILON);
  pixel.write([&](float x, float) { return Parts::value(x, most) * share; });
}

// With parts p, their sum s and dy: dp = dy / s - (sum of dy p) / s^2. The largest numbers have in
// equal shares what their own gradient is, by which all others move.
template <class Parts, class Pixel>
DEVICE void give_gradient(const Lanes& of, const Pixel& pixel) {
  float most = largest<Parts>(of, pixel), sum = 0.f, product = 0.f;
  pixel.read([&](float x, float dy) {
    float part = Parts::value(x, most);
    sum += part;
    product += dy * part;
  });
  float share = 1.f / (of.sum(sum) + EPSILON), inner = of.sum(product) * share * share;
  auto gradient = [&](float x, float dy) {
    return Parts::gradient(dy * share - inner, Parts::value(x, most), x);
  };
  float lost = 0.f;
  if (Parts::by_most) {
    float count = 0.f;
    pixel.read([&](float x, float dy) {
      lost += gradient(x, dy);
      count += x == most ? 1.f : 0.f;
    });
    lost = of.sum(lost) / of.sum(count);
  }
  pixel.write([&](float x, float dy) {
    return gradient(x, dy) - (Parts::by_most && x == most ? lost : 0.f);
  });
}

template <class T, class Parts>
__global__ void __launch_bounds__(256)
    shares(const T* x, int x_pitch, T* y, int y_pitch, int lanes, int channels, int pieces,
           int pixels) {
  Lanes of(lanes, pixels);
  const T* from = x + of.pixel * x_pitch;
  give_shares<Parts>(of,
                     MapPixel<T>{of, channels, pieces, from, from, y + of.pixel * y_pitch});
}

template <class T, class Parts>
__global__ void __launch_bounds__(256)
    shares_grad(const T* dy, int dy_pitch, const T* x, int x_pitch, T* dx, int dx_pitch, int lanes,
                int channels, int pieces, int pixels) {
  Lanes of(lanes, pixels);
  give_gradient<Parts>(of, MapPixel<T>{of, channels, pieces, x + of.pixel * x_pitch,
                                       dy + of.pixel * dy_pitch, dx + of.pixel * dx_pitch});
}

// Of planar pictures (channels, cells): a thread a cell.
template <class Parts>
__global__ void __launch_bounds__(256)
    planar_shares(const float* x, float* y, int channels, int cells, int pixels) {
  Lanes of(1, pixels);
  int at = of.pixel / cells * channels * cells + of.pixel % cells;
  give_shares<Parts>(of, PlanarPixel{of, channels, cells, x + at, x + at, y + at});
}

template <class Parts>
__global__ void __launch_bounds__(256)
    planar_shares_grad(const float* dy, const float* x, float* dx, int channels, int cells,
                       int pixels) {
  Lanes of(1, pixels);
  int at = of.pixel / cells * channels * cells + of.pixel % cells;
  give_gradient<Parts>(of, PlanarPixel{of, channels, cells, x + at, dy + at, dx + at});
}
