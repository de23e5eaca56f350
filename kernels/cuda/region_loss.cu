// What the boxes of a [region] learn: reference/region_loss.py, box by box.
//
// First a block a picture finds the box that each truth is given to. Then each thread looks at one
// box; a warp works off what the few learn that learn more than to be empty.
#include "elements.cuh"
#include "heads.cuh"
#include "order.cuh"
#include "sums.cuh"
#include "truths.cuh"

constexpr int THREADS = 128;
constexpr float WARM_UP = .01f;  // of the pull towards the anchors at the beginning of a training

enum Figure { BOX_SQUARES, OBJECTNESS_SQUARES, CLASS_SQUARES, COUNT, IOUS, FIGURES };

struct Rules {
  int w, h, anchors, entries, room;
  float coord_scale, object_scale, noobject_scale, class_scale, thresh;
  int classfix, bias_match, rescore, focal_loss, warm_up;
};

// A truth, and the box of the picture that it is given to.
struct Truth {
  Box box;
  int cls, place;
  float iou;
  int padding;
};

// The truths first .. end of a picture; or, if that is a class without a place, the box for it.
struct Picture {
  int first, end, place, cls;  // place -1: there is none
};

DEVICE float logistic(float x) { return activation::logistic::value(x); }

// What is predicted for the boxes of a picture, in the order (cell, anchor, entry).
struct Head {
  const float* y;
  Order order;
  int picture;
  const float* anchors;
  const Rules& rules;

  DEVICE float at(int box, int entry) const {
    return y[order.at(picture, box * rules.entries + entry)];
  }

  DEVICE float anchor_w(int box) const { return anchors[box % rules.anchors * 2]; }
  DEVICE float anchor_h(int box) const { return anchors[box % rules.anchors * 2 + 1]; }

  DEVICE Box box(int i) const {
    int cell = i / rules.anchors;
    return {((float)(cell % rules.w) + logistic(at(i, 0))) / rules.w,
            ((float)(cell / rules.w) + logistic(at(i, 1))) / rules.h,
            expf(at(i, 2)) * anchor_w(i) / rules.w, expf(at(i, 3)) * anchor_h(i) / rules.h};
  }

  // The box of a cell whose shape overlaps a truth's most.
  DEVICE int fittest(int cell, const Box& truth) const {
    float most = 0;
    int best = cell * rules.anchors;
    for (int i = cell * rules.anchors; i < (cell + 1) * rules.anchors; i++) {
      Box shape = box(i);
      shape.x = shape.y = 0;
      if (rules.bias_match) shape.w = anchor_w(i) / rules.w, shape.h = anchor_h(i) / rules.h;
      float fit = iou(shape, Box{0, 0, truth.w, truth.h});
      if (fit > most) most = fit, best = i;
    }
    return best;
  }
};

DEVICE int column_of(const Box& truth, const Rules& rules) {
  return (int)fminf(truth.x * rules.w, (float)(rules.w - 1));
}
DEVICE int line_of(const Box& truth, const Rules& rules) {
  return (int)fminf(truth.y * rules.h, (float)(rules.h - 1));
}

// The box that is surest of a class, by the product with those above it in the tree; the first of
// equals. By a block; the answer is that of thread 0.
DEVICE int surest(const Head& head, int cls, const int* parents, int boxes) {
  __shared__ float shares[THREADS / 32];
  __shared__ int places[THREADS / 32];
  float most = -1;
  int place = 0;
  auto take = [&](float share, int i) {
    if (share > most || (share == most && i < place)) most = share, place = i;
  };
  for (int i = threadIdx.x; i < boxes; i += THREADS) {
    float share = head.at(i, 4);
    for (int above = cls; above >= 0; above = parents[above]) share *= head.at(i, 5 + above);
    take(share, i);
  }
#pragma unroll
  for (int step = 16; step; step /= 2) {
    float share = __shfl_xor_sync(~0u, most, step);
    int other = __shfl_xor_sync(~0u, place, step);
    take(share, other);
  }
  if (threadIdx.x % 32 == 0) {
    shares[threadIdx.x / 32] = most;
    places[threadIdx.x / 32] = place;
  }
  __syncthreads();
  for (int i = 1; i < THREADS / 32 && threadIdx.x == 0; i++) take(shares[i], places[i]);
  return place;
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    give_truths(const float* __restrict__ y, Order order, const float* __restrict__ rows,
                const int* __restrict__ count, const float* __restrict__ anchors,
                const int* __restrict__ tree, Rules rules, Truth* __restrict__ truths,
                Picture* __restrict__ pictures) {
  __shared__ int first, end, named;
  int picture = blockIdx.x, found = rows_of(count, rules.room);
  if (threadIdx.x == 0) first = end = 0, named = found;
  __syncthreads();
  for (int t = threadIdx.x; t < found; t += THREADS) {
    const float* row = rows + TRUTH * t;
    if ((int)row[0] != picture) continue;
    if (t == 0 || (int)row[-TRUTH] != picture) first = t;
    if (t == found - 1 || (int)row[TRUTH] != picture) end = t + 1;
    if (row[2] > 1) atomicMin(&named, t);
  }
  __syncthreads();
  Head head = {y, order, picture, anchors, rules};
  Picture own = {first, end, -1, 0};
  if (named < found) {
    own.cls = (int)rows[TRUTH * named + 1];
    own.place = surest(head, own.cls, tree, rules.w * rules.h * rules.anchors);
  } else {
    for (int t = first + threadIdx.x; t < end; t += THREADS) {
      Truth truth = {box_of_row(rows + TRUTH * t), (int)rows[TRUTH * t + 1], 0, 0.f, 0};
      int cell = line_of(truth.box, rules) * rules.w + column_of(truth.box, rules);
      truth.place = head.fittest(cell, truth.box);
      truth.iou = iou(head.box(truth.place), truth.box);
      truths[t] = truth;
    }
  }
  if (threadIdx.x == 0) pictures[picture] = own;
}

// By a warp: the gradient of the classes d(k) of a box whose class is cls; lane k % 32 writes k.
template <class Write>
DEVICE void classify(const Head& head, int box, int cls, float scale, const int* tree,
                     const Write& write) {
  int lane = threadIdx.x % 32, classes = head.rules.entries - 5;
  auto learn = [&](int first, int count, float factor) {
    for (int k = first + ((lane - first) & 31); k < first + count; k += 32) {
      write(k, factor * ((float)(k == cls) - head.at(box, 5 + k)));
    }
  };
  if (!tree) {
    float pt = head.at(box, 5 + cls) + 1e-15f;
    if (head.rules.focal_loss) scale *= -.5f * (1 - pt) * (2 * pt * logf(pt) + pt - 1);
    learn(0, classes, scale);
    return;
  }
  for (; cls >= 0; cls = tree[cls]) learn(tree[classes + cls], tree[2 * classes + cls], scale);
}

extern "C" __global__ void __launch_bounds__(THREADS, 4)
    region_loss(const float* __restrict__ y, Order order, const float* __restrict__ anchors,
                const int* __restrict__ tree, const Truth* __restrict__ truths,
                const Picture* __restrict__ pictures, Rules rules,
                const int* __restrict__ warm_up, const float* __restrict__ factor,
                float* gradient, Order to, int pad,
                float* partial, unsigned* counter, float* figures) {
  __shared__ float objectness[THREADS];
  __shared__ float numbers[FIGURES][THREADS];
  __shared__ int class_of[THREADS];  // of what the box lies on, or -1
  __shared__ bool is_special[THREADS];
  int thread = threadIdx.x, picture = blockIdx.y, cells = rules.w * rules.h;
  int first_box = blockIdx.x * THREADS, here = min(THREADS, cells * rules.anchors - first_box);
  Picture own = pictures[picture];
  bool is_named = own.place >= 0, warms = !is_named && (warm_up ? *warm_up : rules.warm_up);
  Head head = {y, order, picture, anchors, rules};
  float by = factor_of(factor);
  auto pulled = [&](int i, int entry) {  // towards the anchor, at the beginning of a training
    float v = head.at(i, entry), centre = logistic(v);
    if (entry < 2) return WARM_UP * (.5f - centre) * (1 - centre) * centre;
    return -WARM_UP * v;
  };

#pragma unroll
  for (int i = 0; i < FIGURES; i++) numbers[i][thread] = 0;
  if (thread < here) {
    int i = first_box + thread, which = own.first;
    float best = 0, p = head.at(i, 4), learned = 0;
    Box box = head.box(i);
    bool given = false;
    class_of[thread] = -1;
    for (int t = own.first; t < own.end && !is_named; t++) {
      float share = iou(box, truths[t].box);
      if (share > best) best = share, which = t;
      given |= truths[t].place == i;
    }
    if (!is_named) {
      float slope = rules.noobject_scale * (1 - p) * p;
      bool is_near = best > rules.thresh;
      learned = rules.classfix == -1 ? (best - p) * slope : is_near ? 0.f : -p * slope;
      if (rules.classfix > 0 && is_near && best > 0) class_of[thread] = truths[which].cls;
    }
    objectness[thread] = learned;
    is_special[thread] = given || class_of[thread] >= 0 || own.place == i;
    numbers[OBJECTNESS_SQUARES][thread] = learned * learned;
    if (warms) {
      float sum = 0;
      for (int k = 0; k < 4; k++) sum += pulled(i, k) * pulled(i, k);
      numbers[BOX_SQUARES][thread] = sum;
    }
  }
  __syncthreads();
  for (int i = thread; i < here * rules.entries; i += THREADS) {
    int box = i / rules.entries, entry = i % rules.entries;
    float learned = entry == 4 ? objectness[box] : 0.f;
    if (warms && entry < 4) learned = pulled(first_box + box, entry);
    gradient[to.at(picture, first_box * rules.entries + i)] = -learned * by;
  }
  for (int i = first_box + thread; i < cells * pad; i += gridDim.x * THREADS) {
    int channels = rules.anchors * rules.entries;
    gradient[picture * to.step + i / pad * to.pitch + channels + i % pad] = 0;
  }
  __syncthreads();
  for (int i = thread / 32; i < here; i += THREADS / 32) {
    if (!is_special[i]) continue;
    int box = first_box + i, lane = thread % 32, number = box * rules.entries;
    auto put = [&](int entry, float learned) {
      gradient[to.at(picture, number + entry)] = -learned * by;
    };
    auto write = [&](int k, float learned) {  // not multiplied yet
      gradient[to.at(picture, number + 5 + k)] = learned;
    };
    float sums[FIGURES] = {numbers[BOX_SQUARES][i], numbers[OBJECTNESS_SQUARES][i]};
    if (own.place == box) classify(head, box, own.cls, rules.class_scale, tree, write);
    if (class_of[i] >= 0) {
      float share = rules.classfix == 2 ? head.at(box, 4) : 1.f;
      classify(head, box, class_of[i], rules.class_scale * share, tree, write);
    }
    for (int t = own.first; t < own.end && !is_named; t++) {
      if (truths[t].place != box) continue;
      const Truth& truth = truths[t];
      float p = head.at(box, 4), sought = rules.rescore ? truth.iou : 1.f;
      float x = logistic(head.at(box, 0)), y_ = logistic(head.at(box, 1));
      float aim_x = truth.box.x * rules.w - column_of(truth.box, rules);
      float aim_y = truth.box.y * rules.h - line_of(truth.box, rules);
      float aim_w = logf(truth.box.w * rules.w / head.anchor_w(box));
      float aim_h = logf(truth.box.h * rules.h / head.anchor_h(box));
      float learned[5] = {rules.coord_scale * (aim_x - x) * (1 - x) * x,
                          rules.coord_scale * (aim_y - y_) * (1 - y_) * y_,
                          rules.coord_scale * (aim_w - head.at(box, 2)),
                          rules.coord_scale * (aim_h - head.at(box, 3)),
                          rules.object_scale * (sought - p) * (1 - p) * p};
      sums[BOX_SQUARES] = 0;
#pragma unroll
      for (int k = 0; k < 5; k++) {
        if (lane == 0) put(k, learned[k]);
        if (k < 4) sums[BOX_SQUARES] += learned[k] * learned[k];
      }
      sums[OBJECTNESS_SQUARES] = learned[4] * learned[4];
      sums[COUNT] += 1;
      sums[IOUS] += truth.iou;
      classify(head, box, truth.cls, rules.class_scale, tree, write);
    }
    float squares = 0;
    for (int k = lane; k < rules.entries - 5; k += 32) {
      float learned = gradient[to.at(picture, number + 5 + k)];
      squares += learned * learned;
      put(5 + k, learned);
    }
    sums[CLASS_SQUARES] = warp_sum(squares);
    __syncwarp();  // all lanes have read numbers
    if (lane == 0) {
#pragma unroll
      for (int k = 0; k < FIGURES; k++) numbers[k][i] = sums[k];
    }
  }
  add_up(numbers, blockIdx.y * gridDim.x + blockIdx.x, partial);
  add_blocks<FIGURES, THREADS>(partial, gridDim.x * gridDim.y, counter, figures, FIGURES);
}
