// Where the numbers of pictures lie, whatever holds them: maps, planes, or arrays.
#pragma once
#include "common.cuh"

// Numbers of a picture counted in the order of planes, (c, h, w): in a map of `cells` pixels,
// `pitch` from one to the next; or one behind the other, as if a map had one cell. `step` leads to
// the next picture.
struct Order {
  int step, cells, pitch;

  DEVICE int at(int picture, int number) const {
    return picture * step + number % cells * pitch + number / cells;
  }
};

// The channels of pixels, in a map (channel 1) or in planes (pixel 1).
struct Strides {
  int picture, pixel, channel;

  DEVICE int at(int picture_, int pixel_, int channel_) const {
    return picture_ * picture + pixel_ * pixel + channel_ * channel;
  }
};

// Numbers at equal distances.
template <class N>
struct Strided {
  N* first;
  int step;

  DEVICE N& operator[](int i) const { return first[i * step]; }
  DEVICE Strided from(int i) const { return {first + i * step, step}; }
};
