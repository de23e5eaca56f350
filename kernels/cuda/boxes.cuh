// How much boxes overlap, and which way to move them that they overlap more: common/overlap.py for
// single boxes, in the same order of operations.
#pragma once
#include "common.cuh"

struct __align__(16) Box {
  float x, y, w, h;  // centre and size
};

enum Kind { IOU, GIOU, DIOU, CIOU };

constexpr float INVERSE_SQUARED_PI = 0.10132118364233778f;

// Of a number that is known and another; not a number if the other is none.
DEVICE float less(float known, float x) { return known < x ? known : x; }
DEVICE float more(float known, float x) { return known > x ? known : x; }

DEVICE float intersection(const Box& a, const Box& b) {
  float w = less(b.x + b.w / 2, a.x + a.w / 2) - more(b.x - b.w / 2, a.x - a.w / 2);
  float h = less(b.y + b.h / 2, a.y + a.h / 2) - more(b.y - b.h / 2, a.y - a.h / 2);
  return w < 0 || h < 0 ? 0.f : w * h;
}

DEVICE float iou(const Box& a, const Box& b) {
  float both = intersection(a, b), all = a.w * a.h + b.w * b.h - both;
  return both == 0 || all == 0 ? 0.f : both / all;
}

DEVICE float2 enclosing(const Box& a, const Box& b) {
  return make_float2(more(b.x + b.w / 2, a.x + a.w / 2) - less(b.x - b.w / 2, a.x - a.w / 2),
                     more(b.y + b.h / 2, a.y + a.h / 2) - less(b.y - b.h / 2, a.y - a.h / 2));
}

// The squared distance of the centres, in squared diagonals of the enclosing box.
DEVICE float distance(const Box& a, const Box& b) {
  float2 around = enclosing(a, b);
  float diagonal = around.x * around.x + around.y * around.y;
  float apart = (a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y);
  return diagonal == 0 ? 0.f : apart / diagonal;
}

// 4 / pi^2 times the squared difference of the aspect ratios, `turn` before it is squared.
DEVICE float aspect(const Box& a, const Box& b, float& turn) {
  turn = atanf(b.w / b.h) - atanf(a.w / a.h);
  return 4 * INVERSE_SQUARED_PI * turn * turn;
}

DEVICE float overlap(const Box& a, const Box& b, int kind) {
  float share = iou(a, b);
  if (kind == IOU) return share;
  float2 around = enclosing(a, b);
  if (kind == GIOU) {
    float whole = around.x * around.y, all = a.w * a.h + b.w * b.h - intersection(a, b);
    return whole == 0 ? share : share - (whole - all) / whole;
  }
  if (kind == DIOU) return share - powf(distance(a, b), .6f);
  if (around.x == 0 && around.y == 0) return share;
  float turn, v = aspect(a, b, turn), alpha = v / (1 - share + v + 1e-6f);
  return share - (distance(a, b) + alpha * v);
}

// One axis of two boxes: the edges of the first, and which of them lie within the second.
struct Axis {
  float low, high, size, aim_size, shared, around;
  bool low_inside, low_outside, high_inside, high_outside;

  DEVICE Axis(float at, float size_, float aim, float aim_size_) {
    float lows = aim - aim_size_ / 2, highs = aim + aim_size_ / 2;
    low = at - size_ / 2, high = at + size_ / 2;
    size = high - low, aim_size = highs - lows;
    shared = less(highs, high) - more(lows, low);
    around = more(highs, high) - less(lows, low);
    low_inside = low > lows, low_outside = low < lows;
    high_inside = high < highs, high_outside = high > highs;
  }
};

// A term added to slopes where it is defined; it stands alone where the boxes do not overlap.
DEVICE float joined(float slope, float term, bool defined, bool apart) {
  return apart ? term : slope + (defined ? term : 0.f);
}

// How iou, or giou, grows with the lower (sign -1) or the upper edge along an axis.
DEVICE float edge_slope(float sign, const Axis& other, float both, float all, float whole,
                        bool inside, bool outside, bool apart, int kind) {
  float d_both = inside ? sign * other.shared : 0.f;
  float d_all = sign * other.size - d_both;
  float way = all > 0 ? (all * d_both - both * d_all) / (all * all) : 0.f;
  if (kind != GIOU) return way;
  float d_whole = outside ? sign * other.around : 0.f;
  return joined(way, (whole * d_all - all * d_whole) / (whole * whole), whole > 0, apart);
}

// The way that takes box a nearer to b: overlap_slopes of common/overlap.py.
DEVICE Box overlap_slopes(const Box& a, const Box& b, int kind) {
  Axis x(a.x, a.w, b.x, b.w), y(a.y, a.h, b.y, b.h);
  float both = x.shared * y.shared, whole = x.around * y.around;
  float all = x.size * y.size + x.aim_size * y.aim_size - both;
  bool apart = x.shared <= 0 || y.shared <= 0;
  auto along = [&](const Axis& one, const Axis& other, float& by_place, float& by_size) {
    float lower = edge_slope(-1, other, both, all, whole, one.low_inside, one.low_outside, apart,
                             kind);
    float upper = edge_slope(1, other, both, all, whole, one.high_inside, one.high_outside, apart,
                             kind);
    lower = one.low < one.high ? lower : upper;
    by_place = lower + upper, by_size = upper - lower;
  };
  Box slopes;
  along(x, y, slopes.x, slopes.w);
  along(y, x, slopes.y, slopes.h);
  if (kind != DIOU && kind != CIOU) return slopes;
  float way_x = b.x - a.x, way_y = b.y - a.y, apart2 = way_x * way_x + way_y * way_y;
  float diagonal = x.around * x.around + y.around * y.around, diagonal2 = diagonal * diagonal;
  auto by_distance = [&](const Axis& one, float way, float& by_place, float& by_size) {
    float moved = (float)one.high_outside - (float)one.low_outside;
    float grown = ((float)one.high_outside + (float)one.low_outside) / 2;
    by_place = (2 * way * diagonal - 2 * one.around * moved * apart2) / diagonal2;
    by_size = 2 * one.around * grown * apart2 / diagonal2;
  };
  Box term;
  by_distance(x, way_x, term.x, term.w);
  by_distance(y, way_y, term.y, term.h);
  if (kind == CIOU) {
    float turn, v = aspect(a, b, turn), alpha = v / (1 - both / all + v + 1e-6f);
    float slope = alpha * (8 * INVERSE_SQUARED_PI) * turn;
    term.w += slope * a.h;
    term.h -= slope * a.w;
  }
  bool defined = x.around > 0 || y.around > 0;
  return {joined(slopes.x, term.x, defined, apart), joined(slopes.y, term.y, defined, apart),
          joined(slopes.w, term.w, defined, apart), joined(slopes.h, term.h, defined, apart)};
}
