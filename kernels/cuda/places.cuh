// Where threads of kernels over pieces are in a map.
#pragma once
#include "elements.cuh"

// The piece from channel `first` on of a pixel, at row and column of a picture of height x width:
// what thread i has of a map with so many pieces a pixel.
struct Place {
  int first, pixel, picture, row, column;

  DEVICE Place(int i, int pieces, int piece, int height, int width) {
    pixel = i / pieces, first = i % pieces * piece;
    column = pixel % width, row = pixel / width % height, picture = pixel / width / height;
  }
};
