// Pixels of which some lanes of a warp have the pieces between them: what is done over channels.
#pragma once
#include "elements.cuh"

// Lane `lane` of the `lanes` (a power of two, at most 32) of a pixel has every lanes-th piece.
// Those behind the last pixel do nothing, but take part in what the warp does.
struct Lanes {
  int lanes, pixel, lane;
  bool inside;

  DEVICE Lanes(int lanes, int pixels) : lanes(lanes) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    pixel = i / lanes, lane = i % lanes;
    inside = pixel < pixels;
  }

  // Call `each` with the first channel of every piece of this lane.
  template <class T, class Each>
  DEVICE void pieces(int count, Each each) const {
    if (!inside) return;
    for (int k = lane; k < count; k += lanes) each(k * PIECE<T>);
  }

  // Sum, or find the largest, over the lanes of the pixel; all have it.
  DEVICE float sum(float value) const {
    for (int step = lanes / 2; step > 0; step /= 2) value += __shfl_xor_sync(~0u, value, step);
    return value;
  }
  DEVICE float most(float value) const {
    for (int step = lanes / 2; step > 0; step /= 2) {
      value = fmaxf(value, __shfl_xor_sync(~0u, value, step));
    }
    return value;
  }
};
