// What the boxes of a [detection] learn: a block a picture, a warp an object.
#include "order.cuh"
#include "sums.cuh"
#include "truths.cuh"

constexpr int THREADS = 128;

enum Figure { BOX_SQUARES, CONFIDENCE_SQUARES, CLASS_SQUARES, COUNT, IOUS, FIGURES };

struct Rules {
  int side, num, classes, room;
  float coord_scale, object_scale, noobject_scale, class_scale;
  int sqrt, rescore, forced;
};

// The box of a cell that learns an object: the one that overlaps it most, or else the nearest. aim
// and what `box_of` gives have x and y in shares of the cell.
template <class Boxes>
DEVICE int fittest(const Boxes& box_of, const Box& aim, const Rules& rules) {
  if (rules.forced) return aim.w * aim.h < .1f ? min(1, rules.num - 1) : 0;
  float most = 0, least = __int_as_float(0x7f800000);  // infinity
  int best = 0, nearest = 0;
  for (int i = 0; i < rules.num; i++) {
    Box box = box_of(i);
    float share = iou(box, aim), x = box.x - aim.x, y = box.y - aim.y, w = box.w - aim.w,
          h = box.h - aim.h, away = x * x + y * y + w * w + h * h;
    if (share > most) most = share, best = i;
    if (away < least) least = away, nearest = i;
  }
  return most > 0 ? best : nearest;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    detection_loss(const float* __restrict__ y, Order order, const float* __restrict__ objects,
                   const int* __restrict__ count, const int* __restrict__ chosen, Rules rules,
                   const float* __restrict__ factor, float* gradient, Order to, int pixels,
                   int channels, int pad, float* partial, unsigned* counter, float* figures) {
  __shared__ float numbers[FIGURES][THREADS];
  int thread = threadIdx.x, lane = thread % 32, picture = blockIdx.x;
  int cells = rules.side * rules.side, sure_from = cells * rules.classes;
  int boxes_from = sure_from + cells * rules.num, all = boxes_from + 4 * cells * rules.num;
  float by = factor_of(factor);
  auto at = [&](int number) { return y[order.at(picture, number)]; };
  auto put = [&](int number, float learned) { gradient[to.at(picture, number)] = -learned; };

#pragma unroll
  for (int i = 0; i < FIGURES; i++) numbers[i][thread] = 0;
  for (int i = thread; i < all; i += THREADS) {
    bool is_sure = sure_from <= i && i < boxes_from;
    put(i, is_sure ? -rules.noobject_scale * at(i) : 0.f);
  }
  for (int i = thread; i < pixels * pad; i += THREADS) {
    gradient[picture * to.step + i / pad * to.pitch + channels + i % pad] = 0;
  }
  __syncthreads();
  int found = rows_of(count, rules.room);
  for (int t = thread / 32; t < found; t += THREADS / 32) {
    const float* row = objects + TRUTH * t;
    if ((int)row[0] != picture) continue;
    Box aim = box_of_row(row);
    aim.x *= rules.side, aim.y *= rules.side;
    int column = min((int)aim.x, rules.side - 1), line = min((int)aim.y, rules.side - 1);
    aim.x -= column, aim.y -= line;
    int cell = line * rules.side + column;
    for (int k = lane; k < rules.classes; k += 32) {
      float wanted = (float)((float)k == row[1]);
      put(cell * rules.classes + k,
          rules.class_scale * (wanted - at(cell * rules.classes + k)));
    }
    float scale = 1.f / rules.side;
    auto box_of = [&](int i) {
      int from = boxes_from + (cell * rules.num + i) * 4;
      Box box = {at(from) * scale, at(from + 1) * scale, at(from + 2), at(from + 3)};
      if (rules.sqrt) box.w *= box.w, box.h *= box.h;
      return box;
    };
    Box scaled = {aim.x * scale, aim.y * scale, aim.w, aim.h};
    int own = chosen && chosen[t] >= 0 ? chosen[t] : fittest(box_of, scaled, rules);
    float share = iou(box_of(own), scaled);
    if (rules.sqrt) aim.w = sqrtf(aim.w), aim.h = sqrtf(aim.h);
    if (lane == 0) {
      int sure = sure_from + cell * rules.num + own;
      int from = boxes_from + (cell * rules.num + own) * 4;
      put(sure, rules.object_scale * ((rules.rescore ? share : 1.f) - at(sure)));
      float aims[4] = {aim.x, aim.y, aim.w, aim.h};
#pragma unroll
      for (int k = 0; k < 4; k++) put(from + k, rules.coord_scale * (aims[k] - at(from + k)));
      numbers[COUNT][thread] += 1;
      numbers[IOUS][thread] += share;
    }
  }
  __syncthreads();
  for (int i = thread; i < all; i += THREADS) {
    float learned = gradient[to.at(picture, i)];
    int part = i < sure_from ? CLASS_SQUARES : i < boxes_from ? CONFIDENCE_SQUARES : BOX_SQUARES;
    numbers[part][thread] += learned * learned;
    put(i, -learned * by);
  }
  add_up(numbers, picture, partial);
  add_blocks<FIGURES, THREADS>(partial, gridDim.x, counter, figures, FIGURES);
}
