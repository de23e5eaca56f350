// What the boxes of a [yolo] and of a [Gaussian_yolo] learn: reference/positives.py and the losses
// that use it, box by box.
//
// A block takes some cells of a picture. Each thread looks at one box: which truth it comes
// nearest to, and whether it learns one. Most learn to be empty, and only that. For each of the
// others, few, a warp then works off the truths in darknet's order; its lanes divide the classes.
#include "elements.cuh"
#include "heads.cuh"
#include "order.cuh"
#include "sums.cuh"
#include "truths.cuh"

constexpr int THREADS = 128;  // of a block; the boxes of its cells are as many or fewer
constexpr float LIKELY = .25f;
constexpr float RUNAWAY = 100;
constexpr float FLOOR = .3f;  // added to a deviation
constexpr float ROOT_OF_TWO_PI = 2.5066282746310002f;

enum Figure { COUNT, IOUS, OVERLAPS, BOX_SQUARES, OBJECTNESS_SQUARES, CLASS_SQUARES, FIGURES };

struct Rules {
  int w, h, pictures, boxes, anchors, entries, room;  // cells; boxes of a cell; of all heads; rows
  float width, height;                                // of the network's input, in pixels
  float ignore_thresh, truth_thresh, iou_thresh;
  int iou_thresh_kind, iou_loss;  // -1: the squared difference
  float iou_normalizer, obj_normalizer, cls_normalizer, uc_normalizer, max_delta;
  float label_smooth_eps;
  int objectness_smooth, focal_loss, new_coords;
  float point;             // from the centre to the point that x and y are, in sizes
  float delta_normalizer;  // of the gradient, after its squares were added up
};

// A truth: its box, its class and the weight of that, and the cell and boxes that it is given to.
struct Truth {
  Box box;
  int cls, cell;
  unsigned takes;  // bit i: the i-th box of the cell
  float weight;
};

DEVICE bool finite(float x) { return x - x == 0; }

// A thread a row: make Truths of rows, and find where those of each picture begin. slots has the
// box of a cell that each anchor is, or -1.
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    place_truths(const float* __restrict__ rows, const int* __restrict__ count,
                 const float* __restrict__ anchors, const int* __restrict__ slots,
                 const float* __restrict__ multipliers, Rules rules, Truth* __restrict__ truths,
                 int* __restrict__ starts) {
  int t = blockIdx.x * THREADS + threadIdx.x, found = rows_of(count, rules.room);
  find_starts(rows, found, t, starts, rules.pictures);
  if (t >= found) return;
  const float* row = rows + TRUTH * t;
  Truth truth = {box_of_row(row), (int)row[1], 0, 0, 1.f};
  const Box& box = truth.box;
  Box wanted = {0, 0, box.w, box.h};
  auto shape = [&](int i) {
    return Box{0, 0, anchors[2 * i] / rules.width, anchors[2 * i + 1] / rules.height};
  };
  float most = -1;
  int best = 0;
  for (int i = 0; i < rules.anchors; i++) {
    float fit = iou(shape(i), wanted);
    if (fit > most) most = fit, best = i;
  }
  for (int i = 0; i < rules.anchors; i++) {
    bool near = i == best;
    if (!near && rules.iou_thresh < 1) {
      near = overlap(shape(i), wanted, rules.iou_thresh_kind) > rules.iou_thresh;
    }
    if (near && slots[i] >= 0) truth.takes |= 1u << slots[i];
  }
  int column = (int)((box.x + rules.point * box.w) * rules.w);
  int line = (int)((box.y + rules.point * box.h) * rules.h);
  truth.cell = max(0, min(line, rules.h - 1)) * rules.w + max(0, min(column, rules.w - 1));
  truth.weight = multipliers ? multipliers[truth.cls] : 1.f;
  truths[t] = truth;
}

// A box of the head: what is predicted, v, for it, in the cell at a place, with an anchor.
template <class Head>
struct Place {
  static constexpr bool gaussian = Head::step == 2;
  static constexpr int coords = 4 * Head::step;
  Strided<const float> v;
  int cell;
  float column, line, anchor_w, anchor_h;

  DEVICE Place(Strided<const float> values, int cell_, int box, const float* own_anchors,
               const Rules& rules)
      : v(values), cell(cell_) {
    column = (float)(cell % rules.w), line = (float)(cell / rules.w);
    anchor_w = own_anchors[2 * box], anchor_h = own_anchors[2 * box + 1];
  }

  DEVICE float mean(int i) const { return v[i * Head::step]; }

  DEVICE Box seen(const Rules& rules) const {
    float w = mean(2), h = mean(3);
    w = rules.new_coords ? 4 * (w * w) : expf(w);
    h = rules.new_coords ? 4 * (h * h) : expf(h);
    Box box = {(column + mean(0)) / rules.w, (line + mean(1)) / rules.h,
               w * anchor_w / rules.width, h * anchor_h / rules.height};
    if (gaussian) box.x -= rules.point * box.w, box.y -= rules.point * box.h;
    return box;
  }

  // What x, y, w, h should be, the sizes in anchors.
  DEVICE Box target(const Box& box, const Rules& rules) const {
    return {(box.x + rules.point * box.w) * rules.w - column,
            (box.y + rules.point * box.h) * rules.h - line, box.w * rules.width / anchor_w,
            box.h * rules.height / anchor_h};
  }
};

// What x, y, w, h learn from the overlap of a box with its truth.
template <class Head>
DEVICE Box pull(Box seen, const Truth& truth, const Place<Head>& place, const Rules& rules) {
  if (seen.w == 0) seen.w = 1;
  if (seen.h == 0) seen.h = 1;
  Box slopes = overlap_slopes(seen, truth.box, rules.iou_loss);
  slopes.x += rules.point * slopes.w, slopes.y += rules.point * slopes.h;
  if (rules.new_coords) return slopes;
  slopes.w *= expf(place.mean(2)), slopes.h *= expf(place.mean(3));
  return slopes;
}

DEVICE float tame(float change, float most) {
  return finite(change) ? fminf(fmaxf(change, -most), most) : 0.f;
}

DEVICE void box_change(const Place<Yolo>& place, const Box& seen, const Truth& truth,
                       const Rules& rules, float (&change)[4]) {
  float normalizer = rules.iou_normalizer * truth.weight;
  if (rules.iou_loss >= 0) {
    Box way = pull(seen, truth, place, rules);
    float most = fminf(rules.max_delta, RUNAWAY), ways[4] = {way.x, way.y, way.w, way.h};
#pragma unroll
    for (int i = 0; i < 4; i++) change[i] = tame(ways[i] * normalizer, most);
    return;
  }
  Box aim = place.target(truth.box, rules);
  float w = rules.new_coords ? sqrtf(aim.w / 4) : logf(aim.w);
  float h = rules.new_coords ? sqrtf(aim.h / 4) : logf(aim.h);
  float aims[4] = {aim.x, aim.y, w, h}, scale = 2 - truth.box.w * truth.box.h;
#pragma unroll
  for (int i = 0; i < 4; i++) change[i] = scale * (aims[i] - place.mean(i)) * normalizer;
}

// The slope of the logarithm of a normal density, by mean and deviation, times nearly half.
DEVICE void box_change(const Place<GaussianYolo>& place, const Box& seen, const Truth& truth,
                       const Rules& rules, float (&change)[8]) {
  Box aim = place.target(truth.box, rules), way = {0, 0, 0, 0};
  if (rules.iou_loss >= 0) way = pull(seen, truth, place, rules);
  float aims[4] = {aim.x, aim.y, logf(aim.w), logf(aim.h)};
  float ways[4] = {way.x, way.y, way.w, way.h};
  float scale = 2 - truth.box.w * truth.box.h;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    float deviation = place.v[2 * i + 1], away = (aims[i] - place.mean(i)) / deviation;
    float density = expf(away * away / -2) / (ROOT_OF_TWO_PI * (deviation + FLOOR));
    float share = density / (density + 1e-9f) * scale / 2;
    float of_mean = rules.iou_loss >= 0 ? ways[i] : share * away / deviation;
    float of_deviation = share * (away * away / deviation - 1 / (deviation + FLOOR));
    change[2 * i] = tame(of_mean * (rules.iou_normalizer * truth.weight), rules.max_delta);
    change[2 * i + 1] = tame(of_deviation * rules.uc_normalizer, rules.max_delta);
  }
}

// By a warp: let the classes of a box learn a truth's. d is what they learned before, p what is
// predicted, anew whether all classes learn, or this one beside those before.
DEVICE void learn_classes(Strided<float> d, Strided<const float> p, int classes,
                          const Truth& truth, bool anew, const Rules& rules, bool weighted) {
  float focus = 0, eps = rules.label_smooth_eps;
  if (rules.focal_loss) {
    float pt = p[truth.cls] + 1e-15f;
    focus = -(1 - pt) * (2 * pt * logf(pt) + pt - 1) / 2;
  }
  for (int k = threadIdx.x % 32; k < classes; k += 32) {
    bool is_own = k == truth.cls;
    if (!is_own && !anew) continue;
    float wanted = (float)is_own, learned = wanted * (1 - eps) + eps / 2 - p[k];
    if (!finite(learned)) learned = d[k];
    if (!anew) {
      learned *= truth.weight;
    } else if (rules.focal_loss) {
      learned = (wanted - p[k]) * focus;
    } else if (weighted && is_own) {
      learned *= truth.weight * rules.cls_normalizer;
    }
    d[k] = learned;
  }
}

// What a thread finds about its box.
struct Look {
  float best, objectness;  // IoU with the nearest truth; what the objectness learns for now
  int which;
  bool is_on, lies, given;  // on a truth, by ignore_thresh; by truth_thresh; given to it
};

template <class Head>
DEVICE Look look(const Place<Head>& place, int box, const Truth* truths, int first, int end,
                 const Rules& rules) {
  Look found = {0, 0, first, false, false, false};
  Box seen = place.seen(rules);
  for (int t = first; t < end; t++) {
    float share = iou(seen, truths[t].box);
    if (share > found.best) found.best = share, found.which = t;
    found.given |= truths[t].cell == place.cell && (truths[t].takes >> box & 1);
  }
  found.lies = found.best > fmaxf(rules.truth_thresh, 0);
  float likely = found.best, objectness = place.v[Head::objectness];
  if (found.best > rules.ignore_thresh) {
    bool any = false;
    for (int k = Head::objectness + 1; k < rules.entries; k++) any |= place.v[k] > LIKELY;
    if (!any) likely = 0;
  }
  found.is_on = likely > rules.ignore_thresh;
  if (Head::step == 2) {
    float aim = found.is_on ? rules.objectness_smooth ? likely * likely : objectness : 0.f;
    found.objectness = rules.obj_normalizer * (aim - objectness);
    return found;
  }
  if (!finite(objectness)) objectness = 0;
  float learned = rules.obj_normalizer * -objectness;
  float nothing = 0;
  if (rules.objectness_smooth) {
    nothing = fmaxf(learned, rules.obj_normalizer * (likely - objectness));
  }
  found.objectness = found.is_on ? nothing : learned;
  return found;
}

// By a warp: what a box learns that learns a truth, or several. d, its place in the gradient, is 0
// for classes and coordinates; what is learned is multiplied by a factor at the end. Returns
// objectness and coordinates squared and its figures.
template <class Head>
DEVICE void teach(const Place<Head>& place, int box, const Look& found, const Truth* truths,
                  int first, int end, const Rules& rules, bool weighted, float by,
                  Strided<float> d, float (&sums)[FIGURES]) {
  constexpr int at = Head::objectness;
  int lane = threadIdx.x % 32, classes = rules.entries - at - 1;
  Strided<const float> p = place.v.from(at + 1);
  Strided<float> d_classes = d.from(at + 1);
  Box seen = place.seen(rules);
  float learned[at] = {}, objectness = found.objectness, x = place.v[at];
  if (!finite(x)) x = 0;
#pragma unroll
  for (int i = 0; i < FIGURES; i++) sums[i] = 0;

  auto step = [&](const Truth& truth, float aim, bool given) {
    float change[at];
    box_change(place, seen, truth, rules, change);
#pragma unroll
    for (int i = 0; i < at; i++) learned[i] += change[i];
    bool keeps = given && objectness != 0 && rules.objectness_smooth && !place.gaussian;
    float weight = given ? truth.weight : 1.f;
    if (!keeps) objectness = weight * rules.obj_normalizer * (aim - x);
    int asked = place.gaussian ? 0 : truth.cls, owner = asked % 32;
    float before = lane == owner ? d_classes[asked] : 0.f;
    bool anew = __shfl_sync(~0u, before, owner) == 0;
    learn_classes(d_classes, p, classes, truth, anew, rules, weighted);
    if (rules.objectness_smooth && !given && lane == truth.cls % 32) {
      d_classes[truth.cls] = truth.weight * (aim - p[truth.cls]);
    }
  };

  if (place.gaussian && rules.objectness_smooth && found.is_on) {
    learn_classes(d_classes, p, classes, truths[found.which], true, rules, weighted);
  }
  if (found.lies) {
    step(truths[found.which], rules.objectness_smooth ? found.best * found.best : 1.f, false);
  }
  for (int t = first; t < end; t++) {
    if (truths[t].cell != place.cell || !(truths[t].takes >> box & 1)) continue;
    step(truths[t], 1, true);
    float share = iou(seen, truths[t].box);
    sums[COUNT] += 1;
    sums[IOUS] += share;
    sums[OVERLAPS] += rules.iou_loss == GIOU ? overlap(seen, truths[t].box, GIOU) : share;
  }

  int positive = 0;
  float squares = 0;
  for (int k = lane; k < classes; k += 32) {
    float one = d_classes[k];
    positive += one > 0;
    squares += one * one;
    d_classes[k] = -one * by;
  }
  sums[CLASS_SQUARES] = warp_sum(squares);
  float count = (float)max(1, warp_sum(positive));
  bool shared = place.gaussian || (rules.iou_thresh < 1 && objectness != 0);
#pragma unroll
  for (int i = 0; i < at; i++) {
    float one = shared ? learned[i] / count : learned[i];
    sums[BOX_SQUARES] += one * one;
    if (lane == 0) d[i] = -one * by;
  }
  sums[OBJECTNESS_SQUARES] = objectness * objectness;
  if (lane == 0) d[at] = -objectness * by;
}

// If rejects points to what is not 0, gradients are left as they are, to be multiplied later.
template <class Head>
__global__ void __launch_bounds__(THREADS, 4)
    yolo_loss(const float* __restrict__ y, Strides from, const float* __restrict__ own_anchors,
              const Truth* __restrict__ truths, const int* __restrict__ starts, Rules rules,
              int weighted, const float* __restrict__ factor, const double* __restrict__ rejects,
              float* gradient, Strides to, int pieces, float* partial, unsigned* counter,
              float* figures, int wanted) {
  __shared__ Look looks[THREADS];
  __shared__ float numbers[FIGURES][THREADS];
  int thread = threadIdx.x, picture = blockIdx.y, cells = rules.w * rules.h;
  int per_block = THREADS / rules.boxes, first_cell = blockIdx.x * per_block;
  int here = min(per_block, cells - first_cell), channels = rules.boxes * rules.entries;
  int first = starts[picture], end = starts[picture + 1];
  float by = rejects && *rejects ? 1.f : rules.delta_normalizer * factor_of(factor);
  auto place_of = [&](int i) {
    int cell = first_cell + i / rules.boxes, box = i % rules.boxes;
    const float* v = y + from.at(picture, cell, box * rules.entries);
    return Place<Head>({v, from.channel}, cell, box, own_anchors, rules);
  };
  auto is_special = [&](const Look& found) {
    return found.given || found.lies ||
           (Head::step == 2 && rules.objectness_smooth && found.is_on);
  };

#pragma unroll
  for (int i = 0; i < FIGURES; i++) numbers[i][thread] = 0;
  if (thread < here * rules.boxes) {
    Look found = look(place_of(thread), thread % rules.boxes, truths, first, end, rules);
    numbers[OBJECTNESS_SQUARES][thread] = found.objectness * found.objectness;
    looks[thread] = found;
  }
  __syncthreads();
  auto background = [&](int cell, int channel) {
    int box = channel / rules.entries;
    bool is_objectness = channel - box * rules.entries == Head::objectness;
    bool inside = channel < channels && is_objectness;
    return inside ? -looks[cell * rules.boxes + box].objectness * by : 0.f;
  };
  if (pieces) {  // of a map; planes have none
    for (int i = thread; i < here * pieces; i += THREADS) {
      int cell = i / pieces, start = i % pieces * PIECE<float>;
      Piece<float> piece;
#pragma unroll
      for (int j = 0; j < PIECE<float>; j++) piece.at[j] = background(cell, start + j);
      piece.store(gradient + to.at(picture, first_cell + cell, start));
    }
  } else {
    for (int i = thread; i < here * channels; i += THREADS) {
      int cell = i % here, channel = i / here;
      gradient[to.at(picture, first_cell + cell, channel)] = background(cell, channel);
    }
  }
  __syncthreads();
  for (int i = thread / 32; i < here * rules.boxes; i += THREADS / 32) {
    if (!is_special(looks[i])) continue;
    Place<Head> place = place_of(i);
    int box = i % rules.boxes;
    int at = to.at(picture, place.cell, box * rules.entries);
    float sums[FIGURES];
    teach(place, box, looks[i], truths, first, end, rules, weighted, by,
          {gradient + at, to.channel}, sums);
    if (thread % 32 == 0) {
#pragma unroll
      for (int k = 0; k < FIGURES; k++) numbers[k][i] = sums[k];
    }
  }
  add_up(numbers, blockIdx.y * gridDim.x + blockIdx.x, partial);
  add_blocks<FIGURES, THREADS>(partial, gridDim.x * gridDim.y, counter, figures, wanted);
}
