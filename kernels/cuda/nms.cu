// Greedy suppression of the boxes of one class, by one block.
#include "suppress.cuh"

extern "C" __global__ void __launch_bounds__(SUPPRESSING)
    nms(const float* __restrict__ boxes, const float* __restrict__ scores, bool* keep,
        int* ids, int* gone, int count, Suppression rule) {
  for (int i = threadIdx.x; i < count; i += SUPPRESSING) {
    float score = scores[i];
    int rank = 0;
    for (int j = 0; j < count; j++) rank += scores[j] > score || (scores[j] == score && j < i);
    ids[rank] = i;
    keep[i] = false;
  }
  auto box_of = [&](int i) {
    return Box{boxes[4 * i], boxes[4 * i + 1], boxes[4 * i + 2], boxes[4 * i + 3]};
  };
  int kept = suppress(ids, gone, count, box_of, rule);
  for (int i = threadIdx.x; i < kept; i += SUPPRESSING) keep[ids[i]] = true;
}
