// The windows of a convolution: which cell of x a tap of a place of y lies on.
#pragma once
#include "elements.cuh"

// As `window.window` makes it. x has h x w cells a picture, y rows x cols places; a window has
// high x wide taps. Tap (a, b) of place (row, col) lies on cell
// (row * down - padding + a * dilation, col * right - padding + b * dilation).
struct Window {
  int h, w, rows, cols, high, wide, down, right, padding, dilation;
};

enum Residual { NONE, BEFORE, AFTER };  // where it is added: to what is activated, or afterwards

// Floats at a multiple of 16 bytes.
template <int N>
DEVICE void load_floats(float (&to)[N], const float* from) {
#pragma unroll
  for (int i = 0; i < N; i += 4) {
    Piece<float> piece = Piece<float>::load(from + i);
#pragma unroll
    for (int j = 0; j < 4; j++) to[i + j] = piece.at[j];
  }
}

// Write a piece of y from channel `first` on: add the bias (null: none), add r, activate.
template <class T, class A, Residual RESIDUAL>
DEVICE void finish(const float (&sum)[PIECE<T>], const float* bias, const T* r, T* y, int first,
                   int channels) {
  Piece<T> piece, more = {};
  if (RESIDUAL != NONE) more = Piece<T>::load(r);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) {
    bool inside = first + j < channels;
    float value = sum[j] + (bias && inside ? bias[first + j] : 0.f);
    if (RESIDUAL == BEFORE) value += more.at[j];
    value = A::value(value);
    if (RESIDUAL == AFTER) value += more.at[j];
    piece.at[j] = inside ? value : 0.f;
  }
  piece.store(y);
}
