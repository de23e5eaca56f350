// Numbers of a picture counted in the order of planes, (c, h, w), whatever holds them.
#pragma once
#include "common.cuh"

// Where they lie: in a map of `cells` pixels, `pitch` from one to the next; or one behind the
// other, as if a map had one cell. `step` leads to the next picture.
struct Order {
  int step, cells, pitch;

  DEVICE int at(int picture, int number) const {
    return picture * step + number % cells * pitch + number / cells;
  }
};
