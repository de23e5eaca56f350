// The truth that each predicted box comes nearest to: a thread a box.
#include "boxes.cuh"

extern "C" __global__ void __launch_bounds__(256)
    best_overlap(const float* __restrict__ boxes, const float* __restrict__ truths, int capacity,
                 const int* __restrict__ count, float* __restrict__ best, int* __restrict__ which,
                 int places, int per_picture, int all) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i >= all) return;
  int picture = i / per_picture;
  const float* own = boxes + (i / places * 4) * places + i % places;
  Box box = {own[0], own[places], own[2 * places], own[3 * places]};
  float most = 0;
  int index = 0;
  int found = count ? min(*count, capacity) : capacity;
  for (int t = 0; t < found; t++) {
    const float* truth = truths + 6 * t;
    if ((int)truth[0] != picture) continue;
    float share = iou(box, Box{truth[2], truth[3], truth[4], truth[5]});
    if (share > most) most = share, index = t;
  }
  best[i] = most, which[i] = index;
}
