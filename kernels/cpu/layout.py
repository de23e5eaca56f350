"""Which arrays the kernels here take; the reference has the rest."""

import numpy as np


def dense(*xs):
    """Return whether all are float32 and lie in memory without gaps."""
    return all(x.dtype == np.float32 and x.flags.c_contiguous for x in xs)


def planar(x):
    """Return whether x (n, c, h, w) is float32 and each of its pictures lies without gaps."""
    return x.dtype == np.float32 and x.ndim == 4 and len(x) > 0 and x[0].flags.c_contiguous


def flat(x):
    """Return x (n, c, h, w), which has no gaps, as (n, c, h * w)."""
    return x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
