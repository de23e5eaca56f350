"""Apply an activation in one pass: a row of kernels/common/activations.py, compiled."""

from functools import cache, partial

import numpy as np

from .. import reference
from ..common import activations
from ..common.activations import ACTIVATIONS
from . import scalar
from .jit import digest, inline, jit, rebound
from .layout import dense
from .threads import divide, run

__all__ = ["activate"]

PER_VALUE = 3e-4  # microseconds


def activate(x, name):
    """Return the activation ``name`` of x, as the reference defines it.

    Those over channels, and x that is not float32 without gaps, go to the reference.
    """
    if name == "linear" or ACTIVATIONS[name].over_channels or not dense(x):
        return reference.activate(x, name)
    y = np.empty_like(x)
    parts = divide(x.size, x.size * PER_VALUE)
    run(partial(kernel(ACTIVATIONS[name].name), x.reshape(-1), y.reshape(-1)), parts)
    return y


@cache
def kernel(name):
    """Return the compiled loop of an activation: kernel(x, y, first, end) over flat arrays."""
    sigmoid = inline(rebound(activations.sigmoid, "sigmoid", np=scalar))
    row = inline(rebound(ACTIVATIONS[name].value, name, np=scalar, sigmoid=sigmoid))
    return jit(rebound(each, f"{name}_{digest(activations, scalar)}", value=row))


def value(x):
    """Stand for the activation; `kernel` puts one in this place."""
    return x


def each(x, y, first, end):
    part, out = x[first:end], y[first:end]
    for i in range(len(part)):
        out[i] = value(part[i])
