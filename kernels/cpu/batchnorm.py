"""Batch normalisation: a pass for the statistics, one for the values, and two for the gradients.

Sums over a channel are of NEAR values at a time, and these sums are added in double precision.
"""

from functools import partial

import numpy as np

from .. import reference
from ..common.geometry import BATCHNORM_EPSILON
from .jit import jit, jit_sums
from .layout import dense, flat
from .threads import divide, run

__all__ = ["batch_statistics", "batchnorm", "batchnorm_grad"]

EPSILON = np.float32(BATCHNORM_EPSILON)
PER_VALUE = 2.5e-4  # microseconds
NEAR = 256


def batch_statistics(x):
    """Return mean and variance of each channel, as the reference defines them.

    Maps that are empty, or not float32 without gaps, go to the reference.
    """
    if not (dense(x) and x.size):
        return reference.batch_statistics(x)
    mean, variance = np.empty((2, x.shape[1]), np.float32)
    run(partial(measure, flat(x), mean, variance), channels(x))
    return mean, variance


def batchnorm(x, scales, biases, mean, variance):
    """Return (x - mean) / sqrt(variance + 1e-5) * scales + biases, as the reference defines it.

    What is not float32 without gaps goes to the reference.
    """
    if not dense(x, scales, biases, mean, variance):
        return reference.batchnorm(x, scales, biases, mean, variance)
    y = np.empty(x.shape, np.float32)
    factors = scales / np.sqrt(variance + EPSILON)
    run(partial(normalize, flat(x), factors, biases, mean, flat(y)), channels(x))
    return y


def batchnorm_grad(dy, x, scales, mean, variance):
    """Return the gradients of x, scales and biases, as the reference defines them.

    Maps that are empty, or not float32 without gaps, go to the reference.
    """
    dy = np.ascontiguousarray(dy)
    if not (dense(dy, x, scales, mean, variance) and x.size):
        return reference.batchnorm_grad(dy, x, scales, mean, variance)
    dx = np.empty(x.shape, np.float32)
    roots = 1 / np.sqrt(variance + EPSILON)
    dscales, dbiases = np.empty((2, x.shape[1]), np.float32)
    arrays = (flat(dy), flat(x), scales, mean, roots, flat(dx), dscales, dbiases)
    run(partial(differentiate, *arrays), channels(x))
    return dx, dscales, dbiases


def channels(x):
    """Divide the channels of x (n, c, h, w) among threads."""
    return divide(x.shape[1], x.size * PER_VALUE)


@jit_sums
def measure(x, mean, variance, first, end):
    """Fill the channels first..end of mean and variance with those of x (n, c, cells)."""
    count = x.shape[0] * x.shape[2]
    for c in range(first, end):
        total = 0.0
        for image in range(len(x)):
            for start in range(0, x.shape[2], NEAR):
                line = x[image, c, start : start + NEAR]
                near = np.float32(0)
                for i in range(len(line)):
                    near += line[i]
                total += near
        mean[c] = total / count
        middle, squares = mean[c], 0.0
        for image in range(len(x)):
            for start in range(0, x.shape[2], NEAR):
                line = x[image, c, start : start + NEAR]
                near = np.float32(0)
                for i in range(len(line)):
                    near += (line[i] - middle) * (line[i] - middle)
                squares += near
        variance[c] = squares / max(1, count - 1)


@jit
def normalize(x, factors, biases, mean, y, first, end):
    """Fill channels first..end of y, (n, c, cells) like x."""
    for image in range(len(x)):
        for c in range(first, end):
            less, factor, more = mean[c], factors[c], biases[c]
            line, out = x[image, c], y[image, c]
            for i in range(len(line)):
                out[i] = (line[i] - less) * factor + more


@jit_sums
def differentiate(dy, x, scales, mean, roots, dx, dscales, dbiases, first, end):
    """Fill channels first..end of the gradients; dy, x and dx are (n, c, cells)."""
    count = x.shape[0] * x.shape[2]
    for c in range(first, end):
        less, root = mean[c], roots[c]
        along, alone = 0.0, 0.0
        for image in range(len(x)):
            for start in range(0, x.shape[2], NEAR):
                delta, line = dy[image, c, start : start + NEAR], x[image, c, start:]
                near, nearer = np.float32(0), np.float32(0)
                for i in range(len(delta)):
                    near += delta[i] * (line[i] - less)
                    nearer += delta[i]
                along += near
                alone += nearer
        dscales[c] = along * root
        dbiases[c] = alone
        shift = np.float32(alone / count)
        slope = np.float32(along * root * root / count)
        factor = scales[c] * root
        for image in range(len(x)):
            delta, line, out = dy[image, c], x[image, c], dx[image, c]
            for i in range(len(line)):
                out[i] = (delta[i] - shift - (line[i] - less) * slope) * factor
