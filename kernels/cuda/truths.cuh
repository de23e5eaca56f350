// The truths of a mini-batch, in device memory: rows of picture, class, x, y, w, h, of which as
// many are true as a number in device memory says, so that a graph of launches takes any.
#pragma once
#include "boxes.cuh"

constexpr int TRUTH = 6;  // numbers of a row

// How many rows there are, of those that there is room for.
DEVICE int rows_of(const int* count, int room) { return count ? min(*count, room) : room; }

DEVICE Box box_of_row(const float* row) { return {row[2], row[3], row[4], row[5]}; }

// By thread t = 0 .. rows: where those of each picture begin; rows lie in the pictures' order.
// starts has a place for each picture, and one for the end.
DEVICE void find_starts(const float* truths, int rows, int t, int* starts, int pictures) {
  if (t > rows) return;
  int before = t ? (int)truths[TRUTH * (t - 1)] : -1;
  int now = t < rows ? (int)truths[TRUTH * t] : pictures;
  for (int picture = before + 1; picture <= min(now, pictures); picture++) starts[picture] = t;
}
