"""Batch normalisation (Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167)."""

import numpy as np

from ..common.geometry import BATCHNORM_EPSILON, ROLLING_MOMENTUM

__all__ = ["batch_statistics", "batchnorm", "batchnorm_grad", "roll_average"]

EPSILON = np.float32(BATCHNORM_EPSILON)


def batch_statistics(x):
    """Return mean and variance (over m - 1), both (c,), of each channel of x (n, c, h, w)."""
    mean = x.mean((0, 2, 3))
    count = x.size // x.shape[1]
    deviation = x - mean[:, None, None]
    return mean, (deviation * deviation).sum((0, 2, 3)) / np.float32(max(1, count - 1))


def batchnorm(x, scales, biases, mean, variance):
    """Return (x - mean) / sqrt(variance + 1e-5) * scales + biases, all (c,) over x (n, c, h, w)."""
    factor = scales / np.sqrt(variance + EPSILON)
    return (x - mean[:, None, None]) * factor[:, None, None] + biases[:, None, None]


def batchnorm_grad(dy, x, scales, mean, variance):
    """Return the gradients of x, scales and biases, where mean and variance are x's own.

    As in darknet (normalize_delta_cpu and its GPU kernel) the way back takes the variance for a
    mean over m, though `batch_statistics` divides by m - 1.
    """
    m = x.size // x.shape[1]
    root = 1 / np.sqrt(variance + EPSILON)
    normal = (x - mean[:, None, None]) * root[:, None, None]
    dbiases = dy.sum((0, 2, 3))
    dscales = (dy * normal).sum((0, 2, 3))
    spread = (dscales / np.float32(m))[:, None, None]
    dx = dy - (dbiases / np.float32(m))[:, None, None] - normal * spread
    return dx * (scales * root)[:, None, None], dscales, dbiases


def roll_average(rolling, batch):
    """Move the rolling statistic a hundredth of the way towards the batch's, in place."""
    momentum = np.float32(ROLLING_MOMENTUM)
    rolling *= 1 - momentum
    rolling += momentum * batch
