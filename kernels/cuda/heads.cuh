// What each number of a box is, in the heads whose channels are boxes of so many entries.
#pragma once
#include "activations.cuh"

// scale_x_y: about .5. With one rounding that is written down, or kernels would differ in whether
// the compiler makes an fma of it, and of which product.
DEVICE float stretched(float x, float scale) { return fmaf(x, scale, -.5f * (scale - 1.f)); }

// [yolo]: x, y, w, h, objectness, classes.
struct Yolo {
  static constexpr int step = 1, objectness = 4;  // from one of x, y, w, h to the next
  static DEVICE float value(float x, int entry, float scale) {
    if (entry == 2 || entry == 3) return x;
    x = activation::logistic::value(x);
    return entry < 2 ? stretched(x, scale) : x;
  }
};

// [yolo] with new_coords: all is activated already.
struct NewYolo {
  static constexpr int step = 1, objectness = 4;
  static DEVICE float value(float x, int entry, float scale) {
    return entry < 2 ? stretched(x, scale) : x;
  }
};

// [Gaussian_yolo]: after each of x, y, w, h its deviation.
struct GaussianYolo {
  static constexpr int step = 2, objectness = 8;
  static DEVICE float value(float x, int entry, float scale) {
    if (entry == 4 || entry == 6) return x;
    x = activation::logistic::value(x);
    return entry == 0 || entry == 2 ? stretched(x, scale) : x;
  }
};

// What is as a head gives it already.
struct Given {
  static DEVICE float value(float x, int, float) { return x; }
};
