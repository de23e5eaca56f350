"""Softmax over channels, or over runs of a vector, and its gradient."""

from itertools import accumulate, pairwise

import numpy as np

__all__ = ["softmax", "softmax_grad"]


def softmax(x, *, counts=None, temperature=1.0):
    """Return e^(x / temperature) as shares of its sum.

    x            (n, ...)
    counts       the values of each picture, in the order c, h, w, fall into runs of these lengths,
                 each with a sum of its own; values after the last run are copied. None: the sum is
                 over the channels of each pixel of x (n, c, h, w)
    """
    if counts is None:
        return _softmax(x, temperature)
    y = x.copy().reshape(x.shape[0], -1)
    for run in _runs(counts):
        y[:, run] = _softmax(y[:, run], temperature)
    return y.reshape(x.shape)


def softmax_grad(dy, y, *, counts=None, temperature=1.0):
    """Return the gradient of x, given that of y = softmax(x, counts, temperature), and y."""
    if counts is None:
        return _softmax_grad(dy, y, temperature)
    dx = dy.copy().reshape(dy.shape[0], -1)
    flat = y.reshape(dx.shape)
    for run in _runs(counts):
        dx[:, run] = _softmax_grad(dx[:, run], flat[:, run], temperature)
    return dx.reshape(dy.shape)


def _runs(counts):
    return [slice(*ends) for ends in pairwise(accumulate(counts, initial=0))]


def _softmax(x, temperature):
    e = np.exp((x - x.max(1, keepdims=True)) / temperature)
    return e / e.sum(1, keepdims=True)


def _softmax_grad(dy, y, temperature):
    return (dy - (dy * y).sum(1, keepdims=True)) * y / temperature
