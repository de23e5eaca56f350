// What a CUDA kernel includes when g++ compiles it for the CPU: g++ -x c++ -include hostcuda.h x.cu
//
// Here are declarations and a few inline functions. What they do is in ../runtime, which is
// compiled apart from kernels, so that in check mode only the accesses of kernels are watched.
#pragma once
#define HOSTCUDA 1

#include "language.h"
#include "threads.h"
#include "warp.h"
#include "atomics.h"
#include "copies.h"
#include "matrix.h"
#include "kernels.h"
