// From the outputs of the heads to boxes: darkpy/decode.py, a picture's boxes side by side.
//
// A segment is SEGMENT boxes of a head, in the order of cells and, within a cell, of anchors. A
// block finds those of a segment that count, and keeps them in its order; so all boxes of a picture
// that count are in darknet's order, whichever block was first. Then a block for each class and
// picture sorts and suppresses; the last of a picture's blocks writes what is left.
#include "blocks.cuh"
#include "heads.cuh"
#include "order.cuh"
#include "suppress.cuh"

constexpr int SEGMENT = SUPPRESSING;
constexpr int RESULT = 8;  // numbers of a box that is found, as it leaves the device

// A head. Where it lies among `segments` segments of a picture; -1 classfix as in [region].
struct Head {
  int w, h, boxes, entries, classes, first, segments;
  float width, height, thresh, point, scale;  // scale_x_y
  int classfix, by_objectness;                // that is a box's only probability
};

// What is known of a box that counts; `place` is its number among those of its head.
struct Found {
  Box box;
  float objectness;
  int place, padding[2];
};

DEVICE float grown(float v, float anchor, float size) {
  return (float)(exp((double)v) * (double)anchor / (double)size);
}
DEVICE float above(float prob, float thresh) { return prob > thresh ? prob : 0.f; }

// Kinds of heads, of a box whose entries are v(0), v(1) ... in a cell, with an anchor.
struct YoloBoxes {
  template <class V>
  static DEVICE float objectness(const V& v, const Head&) {
    return v(4);
  }
  template <class V>
  static DEVICE bool counts(const V& v, const Head& head) {
    return v(4) > head.thresh;
  }
  template <class V>
  static DEVICE Box box(const V& v, float column, float line, const float* anchor,
                        const Head& head) {
    return {(column + v(0)) / head.w, (line + v(1)) / head.h, grown(v(2), anchor[0], head.width),
            grown(v(3), anchor[1], head.height)};
  }
  template <class V>
  static DEVICE void probs(const V& v, const Head& head, const int*, float* row) {
    for (int k = threadIdx.x % 32; k < head.classes; k += 32) {
      row[k] = above(v(4) * v(5 + k), head.thresh);
    }
  }
};

struct NewYoloBoxes : YoloBoxes {
  template <class V>
  static DEVICE Box box(const V& v, float column, float line, const float* anchor,
                        const Head& head) {
    return {(column + v(0)) / head.w, (line + v(1)) / head.h,
            v(2) * v(2) * 4 * anchor[0] / head.width, v(3) * v(3) * 4 * anchor[1] / head.height};
  }
};

struct GaussianYoloBoxes {
  template <class V>
  static DEVICE float objectness(const V& v, const Head&) {
    return v(8);
  }
  template <class V>
  static DEVICE bool counts(const V& v, const Head& head) {
    return v(8) > head.thresh;
  }
  template <class V>
  static DEVICE Box box(const V& v, float column, float line, const float* anchor,
                        const Head& head) {
    float w = grown(v(4), anchor[0], head.width), h = grown(v(6), anchor[1], head.height);
    return {(column + v(0)) / head.w - head.point * w, (line + v(2)) / head.h - head.point * h, w,
            h};
  }
  template <class V>
  static DEVICE void probs(const V& v, const Head& head, const int*, float* row) {
    double sure = 1 - (double)((v(1) + v(3) + v(5) + v(7)) / 4);
    for (int k = threadIdx.x % 32; k < head.classes; k += 32) {
      row[k] = above((float)((double)(v(8) * v(9 + k)) * sure), head.thresh);
    }
  }
};

struct RegionBoxes {
  template <class V>
  static DEVICE float objectness(const V& v, const Head& head) {
    return head.classfix == -1 && v(4) < .5f ? 0.f : v(4);
  }
  template <class V>
  static DEVICE bool counts(const V& v, const Head& head) {
    float scale = objectness(v, head);
    bool any = false;
    for (int k = 0; k < head.classes; k++) any |= scale * v(5 + k) > head.thresh;
    return any;
  }
  template <class V>
  static DEVICE Box box(const V& v, float column, float line, const float* anchor,
                        const Head& head) {
    return {(column + activation::logistic::value(v(0))) / head.w,
            (line + activation::logistic::value(v(1))) / head.h,
            grown(v(2), anchor[0], (float)head.w), grown(v(3), anchor[1], (float)head.h)};
  }
  template <class V>
  static DEVICE void probs(const V& v, const Head& head, const int*, float* row) {
    float scale = objectness(v, head);
    for (int k = threadIdx.x % 32; k < head.classes; k += 32) {
      row[k] = above(scale * v(5 + k), head.thresh);
    }
  }
};

// A box has the last class of the tree of more than .5.
struct RegionTreeBoxes : RegionBoxes {
  template <class V>
  static DEVICE bool counts(const V& v, const Head& head) {
    return objectness(v, head) > head.thresh;
  }
  template <class V>
  static DEVICE void probs(const V& v, const Head& head, const int* parents, float* row) {
    int lane = threadIdx.x % 32, last = -1;
    auto share = [&](int k) {
      float product = v(5 + k);
      while ((k = parents[k]) >= 0) product *= v(5 + k);
      return product;
    };
    for (int k = lane; k < head.classes; k += 32) {
      if (share(k) > .5f) last = k;
    }
#pragma unroll
    for (int step = 16; step; step /= 2) last = max(last, __shfl_xor_sync(~0u, last, step));
    for (int k = lane; k < head.classes; k += 32) row[k] = k == last ? share(k) : 0.f;
  }
};

// Boxes of a [detection] are where they are predicted.
struct DetectionBoxes : RegionBoxes {
  template <class V>
  static DEVICE Box box(const V& v, float column, float line, const float*, const Head& head) {
    return {(column + v(0)) / head.w, (line + v(1)) / head.h, v(2), v(3)};
  }
};
struct RootDetectionBoxes : RegionBoxes {  // with the square roots of their sizes
  template <class V>
  static DEVICE Box box(const V& v, float column, float line, const float*, const Head& head) {
    return {(column + v(0)) / head.w, (line + v(1)) / head.h, v(2) * v(2), v(3) * v(3)};
  }
};

// Where the entries of a box lie: in channels of a map, or in planes; side by side in the order
// that a [region] gives; or in three parts, classes of a cell, confidences and boxes, as a
// [detection] has them.
enum Layout { BY_CHANNEL, BY_BOX, BY_PART };

DEVICE int number_of(int box, int entry, Layout layout, const Head& head) {
  if (layout == BY_BOX) return box * head.entries + entry;
  int cells = head.w * head.h, sure_from = cells * head.classes;
  if (entry > 4) return box / head.boxes * head.classes + entry - 5;
  return entry == 4 ? sure_from + box : sure_from + cells * head.boxes + box * 4 + entry;
}

// From a box in shares of the network's input to one of the picture: boxes.py:correct.
struct Frame {
  double margin_x, margin_y, share_x, share_y, pixels_x, pixels_y;

  DEVICE Box operator()(const Box& box) const {
    float grow_x = 1.f / (float)share_x, grow_y = 1.f / (float)share_y;
    float wide = (float)pixels_x, high = (float)pixels_y;
    return {(float)(((double)box.x - margin_x) / share_x) * wide,
            (float)(((double)box.y - margin_y) / share_y) * high, box.w * grow_x * wide,
            box.h * grow_y * high};
  }
};

DEVICE bool finite(const Box& box) {
  float zero = (box.x - box.x) + (box.y - box.y) + (box.w - box.w) + (box.h - box.h);
  return zero == 0;
}

// Grid: segments of the head, pictures. `channels` is for BY_CHANNEL, `order` for the others. The
// numbers are activated as they are read.
template <class Kind, Layout layout, class Activation>
__global__ void __launch_bounds__(SEGMENT, 4)
    find_boxes(const float* __restrict__ y, Strides channels, Order order,
               const float* __restrict__ anchors, const int* __restrict__ parents, Head head,
               const Frame* __restrict__ frames, int* __restrict__ counts,
               Found* __restrict__ found, float* __restrict__ probs) {
  __shared__ int warps[SEGMENT / 32];
  __shared__ int chosen[SEGMENT];
  int picture = blockIdx.y, cells = head.w * head.h, i = blockIdx.x * SEGMENT + threadIdx.x;
  int segment = picture * head.segments + head.first + blockIdx.x;
  auto values = [&](int box) {
    int first = box % head.boxes * head.entries;
    Strided<const float> v = {y + channels.at(picture, box / head.boxes, first),
                              channels.channel};
    return [=](int entry) {
      float one = layout == BY_CHANNEL
                      ? v[entry]
                      : y[order.at(picture, number_of(box, entry, layout, head))];
      return Activation::value(one, entry, head.scale);
    };
  };
  bool wanted = false;
  Box box = {0, 0, 0, 0};
  if (i < cells * head.boxes) {
    auto v = values(i);
    if (Kind::counts(v, head)) {
      int cell = i / head.boxes;
      box = Kind::box(v, (float)(cell % head.w), (float)(cell / head.w),
                      anchors + i % head.boxes * 2, head);
      wanted = finite(box);
      if (frames) box = frames[picture](box);
    }
  }
  int count, place = block_scan<SEGMENT>(wanted, warps, count);
  if (wanted) {
    int at = segment * SEGMENT + place;
    float objectness = Kind::objectness(values(i), head);
    chosen[place] = i;
    found[at] = {box, objectness, i, {0, 0}};
    if (head.by_objectness) probs[at] = objectness;
  }
  if (threadIdx.x == 0) counts[segment] = count;
  if (head.by_objectness) return;
  __syncthreads();
  for (int j = threadIdx.x / 32; j < count; j += SEGMENT / 32) {
    Kind::probs(values(chosen[j]), head, parents,
                probs + (segment * SEGMENT + j) * head.classes);
  }
}

// Grid: classes, pictures; with takes_all all boxes are of one. Dynamic shared memory: a place for
// each segment, and one more.
//
// ids, others  for each class and picture, as many as there are places for boxes
// results      for each picture 1 + most rows: how many boxes, each of one class, are left, and how
//              many there were before; then x, y, w, h, objectness, probability, class, and which
//              of the boxes before it is; class by class, the surest first
extern "C" __global__ void __launch_bounds__(SUPPRESSING, 4)
    suppress_boxes(const int* __restrict__ counts, const Found* __restrict__ found,
                   const float* __restrict__ probs, int segments, int suppresses, int takes_all,
                   Suppression rule, int* ids, int* others, int* kept, unsigned* counters,
                   float* results, int most) {
  extern __shared__ __align__(1024) unsigned char smem[];
  __shared__ int warps[SUPPRESSING / 32];
  __shared__ float rival[SUPPRESSING];
  __shared__ int rival_id[SUPPRESSING];
  int* starts = (int*)smem;
  int thread = threadIdx.x, cls = blockIdx.x, picture = blockIdx.y, classes = gridDim.x;
  int places = segments * SEGMENT, total = 0, sum;
  found += picture * places, probs += picture * places * classes;
  auto list = [&](int* of_all, int k) { return of_all + (picture * classes + k) * places; };
  int *own = list(ids, cls), *other = list(others, cls);
  auto prob = [&](int place, int k) { return probs[place * classes + k]; };

  for (int base = 0; base < segments; base += SUPPRESSING) {
    int i = base + thread, count = i < segments ? counts[picture * segments + i] : 0;
    int before = block_scan<SUPPRESSING>(count, warps, sum);
    if (i < segments) starts[i] = total + before;
    total += sum;
  }
  if (thread == 0) starts[segments] = total;
  __syncthreads();

  int rivals = 0;  // those of this class, in their order
  for (int base = 0; base < total; base += SUPPRESSING) {
    int i = base + thread, place = 0;
    bool is_rival = false;
    if (i < total) {
      int low = 0, high = segments;  // starts[low] <= i < starts[high]
      while (high - low > 1) {
        int middle = (low + high) / 2;
        (starts[middle] <= i ? low : high) = middle;
      }
      place = low * SEGMENT + i - starts[low];
      is_rival = takes_all || prob(place, cls) > 0;
    }
    int before = block_scan<SUPPRESSING>(is_rival, warps, sum);
    if (is_rival) other[rivals + before] = place;
    rivals += sum;
  }
  __syncthreads();

  // Each one's place is how many are surer; of equals, as in darknet, those that were surer of the
  // class before, or of that before it ...; and then the first.
  for (int base = 0; base < rivals; base += SUPPRESSING) {
    int i = base + thread, place = i < rivals ? other[i] : 0, rank = 0;
    float sure = prob(place, cls);
    for (int from = 0; from < rivals; from += SUPPRESSING) {
      __syncthreads();
      if (from + thread < rivals) {
        rival_id[thread] = other[from + thread];
        rival[thread] = prob(rival_id[thread], cls);
      }
      __syncthreads();
      for (int j = 0; j < min(SUPPRESSING, rivals - from); j++) {
        bool first = rival[j] > sure;
        if (rival[j] == sure) {
          int k = cls - 1;
          while (k >= 0 && prob(rival_id[j], k) == prob(place, k)) k--;
          first = k >= 0 ? prob(rival_id[j], k) > prob(place, k) : from + j < i;
        }
        rank += first;
      }
    }
    if (i < rivals) own[rank] = place;
  }
  __syncthreads();
  if (suppresses && rivals > 1) {
    auto box_of = [&](int place) { return found[place].box; };
    rivals = suppress(own, other, rivals, box_of, rule);
  }
  if (thread == 0) kept[picture * classes + cls] = rivals;
  if (!is_last_block(counters + picture, classes)) return;

  results += picture * (1 + most) * RESULT;
  int written = 0;
  for (int base = 0; base < classes; base += SUPPRESSING) {
    int k = base + thread, count = k < classes ? kept[picture * classes + k] : 0;
    int before = written + block_scan<SUPPRESSING>(count, warps, sum);
    for (int i = 0; i < count && before + i < most; i++) {
      int place = list(ids, k)[i];
      const Found& one = found[place];
      float row[RESULT] = {one.box.x, one.box.y, one.box.w, one.box.h, one.objectness,
                           prob(place, k), (float)k,
                           (float)(starts[place / SEGMENT] + place % SEGMENT)};
#pragma unroll
      for (int j = 0; j < RESULT; j++) results[(1 + before + i) * RESULT + j] = row[j];
    }
    written += sum;
  }
  if (thread < RESULT) results[thread] = thread == 0 ? written : thread == 1 ? total : 0;
}
