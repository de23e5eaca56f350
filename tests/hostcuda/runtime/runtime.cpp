// All that runs kernels, compiled once and linked to each module.
#include "state.h"
//
#include "atomics.h"
#include "check.h"
#include "copies.h"
#include "hooks.h"
#include "launch.h"
#include "matrix.h"
#include "schedule.h"
#include "statistics.h"
#include "warp.h"
#include "warpgroup.h"
