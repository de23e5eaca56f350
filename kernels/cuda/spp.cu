// Spatial pyramid pooling: several pools of stride 1 of one map, which is read once.
#include "elements.cuh"

// A map of height x width, and windows of up to three sizes, ascending, that begin (size - 1) / 2
// cells before their place. A block has `lanes` pieces of all pixels of a picture.
struct Pyramid {
  int height, width, pieces, lanes, sizes[3];
};

template <class T>
DEVICE void take_larger(Piece<T>& most, const T* from) {
  Piece<T> other = Piece<T>::load(from);
#pragma unroll
  for (int j = 0; j < PIECE<T>; j++) most.at[j] = fmaxf(most.at[j], other.at[j]);
}

// The first COUNT of a, b, c = the largest of each window of x. Shared memory has the picture
// twice: as it is, and the largest along rows, which grow with the windows.
template <class T, int COUNT>
__global__ void __launch_bounds__(256)
    spp(const T* __restrict__ x, int x_pitch, T* a, int a_pitch, T* b, int b_pitch, T* c,
        int c_pitch, Pyramid map) {
  extern __shared__ __align__(1024) unsigned char smem[];
  int cells = map.height * map.width * map.lanes;
  T *picture = (T*)smem, *along = picture + cells * PIECE<T>;
  int first = blockIdx.x * map.lanes, pixels = blockIdx.y * map.height * map.width;
  for (int i = threadIdx.x; i < cells; i += 256) {
    int piece = first + i % map.lanes, pixel = pixels + i / map.lanes;
    uint4 bits = make_uint4(0, 0, 0, 0);
    if (piece < map.pieces) bits = load16(x + pixel * x_pitch + piece * PIECE<T>);
    store16(picture + i * PIECE<T>, bits);
    store16(along + i * PIECE<T>, bits);
  }
  __syncthreads();
  int before = 0, after = 0;
#pragma unroll
  for (int k = 0; k < COUNT; k++) {
    int left = (map.sizes[k] - 1) / 2, right = map.sizes[k] - 1 - left;
    for (int i = threadIdx.x; i < cells; i += 256) {
      int column = i / map.lanes % map.width;
      Piece<T> most = Piece<T>::load(along + i * PIECE<T>);
      for (int d = before + 1; d <= min(left, column); d++) {
        take_larger(most, picture + (i - d * map.lanes) * PIECE<T>);
      }
      for (int d = after + 1; d <= min(right, map.width - 1 - column); d++) {
        take_larger(most, picture + (i + d * map.lanes) * PIECE<T>);
      }
      most.store(along + i * PIECE<T>);
    }
    __syncthreads();
    T* y = k == 0 ? a : k == 1 ? b : c;
    int y_pitch = k == 0 ? a_pitch : k == 1 ? b_pitch : c_pitch;
    int line = map.lanes * map.width;
    for (int i = threadIdx.x; i < cells; i += 256) {
      int row = i / line, piece = first + i % map.lanes;
      Piece<T> most = Piece<T>::load(along + i * PIECE<T>);
      for (int d = 1; d <= min(left, row); d++) {
        take_larger(most, along + (i - d * line) * PIECE<T>);
      }
      for (int d = 1; d <= min(right, map.height - 1 - row); d++) {
        take_larger(most, along + (i + d * line) * PIECE<T>);
      }
      if (piece >= map.pieces) continue;
      most.store(y + (pixels + i / map.lanes) * y_pitch + piece * PIECE<T>);
    }
    __syncthreads();
    before = left, after = right;
  }
}
