"""Activations and their gradients in one pass: rows of kernels/common/activations.py, compiled."""

from functools import cache, partial

import numpy as np

from .. import reference
from ..common import activations
from ..common.activations import ACTIVATIONS
from . import scalar
from .jit import digest, inline, jit, rebound
from .layout import dense
from .threads import divide, run

__all__ = ["activate", "activate_grad"]

PER_VALUE = 3e-4  # microseconds


def activate(x, name):
    """Return the activation ``name`` of x, as the reference defines it.

    Those over channels, and x that is not float32 without gaps, go to the reference.
    """
    if name == "linear" or ACTIVATIONS[name].over_channels or not dense(x):
        return reference.activate(x, name)
    y = np.empty_like(x)
    run(partial(kernel(ACTIVATIONS[name].name), x.reshape(-1), y.reshape(-1)), parts(x))
    return y


def activate_grad(dy, x, name):
    """Return the gradient of x, given that of its activation; what goes where is as above."""
    dy = np.ascontiguousarray(dy)
    if name == "linear" or ACTIVATIONS[name].over_channels or not dense(dy, x):
        return reference.activate_grad(dy, x, name)
    dx = np.empty_like(x)
    flat = (each.reshape(-1) for each in (dy, x, dx))
    run(partial(slope_kernel(ACTIVATIONS[name].name), *flat), parts(x))
    return dx


def parts(x):
    return divide(x.size, x.size * PER_VALUE)


@cache
def kernel(name):
    """Return the compiled loop of an activation: kernel(x, y, first, end) over flat arrays."""
    return compiled(apply, name, ACTIVATIONS[name].value)


@cache
def slope_kernel(name):
    """Return the compiled loop of a gradient: kernel(dy, x, dx, first, end) over flat arrays."""
    return compiled(scale, f"{name}_slope", ACTIVATIONS[name].slope)


def compiled(loop, name, formula):
    """Return the loop with the formula of a row in the place of `of_row`."""
    sigmoid = inline(rebound(activations.sigmoid, "sigmoid", np=scalar))
    row = inline(rebound(formula, name, np=scalar, sigmoid=sigmoid))
    return jit(rebound(loop, f"{name}_{digest(activations, scalar)}", of_row=row))


def of_row(x):
    """Stand for a formula; `compiled` puts one in this place."""
    return x


def apply(x, y, first, end):
    part, out = x[first:end], y[first:end]
    for i in range(len(part)):
        out[i] = of_row(part[i])


def scale(dy, x, dx, first, end):
    delta, part, out = dy[first:end], x[first:end], dx[first:end]
    for i in range(len(part)):
        out[i] = delta[i] * of_row(part[i])
