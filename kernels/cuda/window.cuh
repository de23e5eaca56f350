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

// Write N numbers of y, a piece or more, from channel `first` on: add the bias (null: none), add r,
// activate.
template <class Out, class A, Residual RESIDUAL, int N>
DEVICE void finish(const float (&sum)[N], const float* bias, const Out* r, Out* y, int first,
                   int channels) {
  static_assert(N % PIECE<Out> == 0);
#pragma unroll
  for (int at = 0; at < N; at += PIECE<Out>) {
    if (at && first + at >= channels) break;
    Piece<Out> piece, more = {};
    if (RESIDUAL != NONE) more = Piece<Out>::load(r + at);
#pragma unroll
    for (int j = 0; j < PIECE<Out>; j++) {
      bool inside = first + at + j < channels;
      float value = sum[at + j] + (bias && inside ? bias[first + at + j] : 0.f);
      if (RESIDUAL == BEFORE) value += more.at[j];
      value = A::value(value);
      if (RESIDUAL == AFTER) value += more.at[j];
      piece.at[j] = inside ? value : 0.f;
    }
    piece.store(y + at);
  }
}
