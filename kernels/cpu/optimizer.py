"""The steps of an optimizer in place and in one pass, as the reference defines them.

What is not float32 without gaps goes to the reference.
"""

from functools import partial

import numpy as np

from .. import reference
from .jit import jit
from .layout import dense
from .threads import divide, run

__all__ = ["adam_step", "ema_step", "sgd_step"]

PER_VALUE = 5e-4  # microseconds
F = np.float32


def sgd_step(w, grad, momentum_buffer, *, rate, momentum, decay, batch):
    """Move w along the update, and keep ``momentum`` of that for the next step."""
    arrays = (w, grad, momentum_buffer)
    if not dense(*arrays):
        reference.sgd_step(*arrays, rate=rate, momentum=momentum, decay=decay, batch=batch)
        return
    in_parts(follow, arrays, rate / batch, momentum, decay * batch)


def adam_step(w, grad, m, v, *, rate, B1, B2, eps, decay, batch, t):
    """Move w by its update's rolling mean over the root of its square's."""
    arrays = (w, grad, m, v)
    if not dense(*arrays):
        numbers = {"B1": B1, "B2": B2, "eps": eps, "decay": decay, "batch": batch, "t": t}
        reference.adam_step(*arrays, rate=rate, **numbers)
        return
    keep = (B1, 1 - B1, B2, 1 - B2)
    in_parts(adapt, arrays, rate / (1 - B1**t), 1 / (1 - B2**t), eps, decay * batch, *keep)


def ema_step(average, w, *, alpha):
    """Move ``average`` to alpha * average + (1 - alpha) * w."""
    if not dense(average, w):
        reference.ema_step(average, w, alpha=alpha)
        return
    in_parts(mix, (average, w), alpha, 1 - alpha)


def in_parts(kernel, arrays, *numbers):
    """Run a kernel on the arrays as vectors, with the numbers as float32."""
    vectors = [x.reshape(-1) for x in arrays]
    size = vectors[0].size
    run(partial(kernel, *vectors, *map(F, numbers)), divide(size, size * PER_VALUE))


@jit
def follow(w, grad, buffer, rate, momentum, decay, first, end):
    w, grad, buffer = w[first:end], grad[first:end], buffer[first:end]
    for i in range(len(w)):
        update = buffer[i] - grad[i] - decay * w[i]
        w[i] += rate * update
        buffer[i] = momentum * update


@jit
def adapt(w, grad, m, v, rate, scale, eps, decay, B1, rest1, B2, rest2, first, end):
    w, grad, m, v = w[first:end], grad[first:end], m[first:end], v[first:end]
    for i in range(len(w)):
        update = -grad[i] - decay * w[i]
        m[i] = B1 * m[i] + rest1 * update
        v[i] = B2 * v[i] + rest2 * (update * update)
        w[i] += rate * m[i] / (np.sqrt(v[i] * scale) + eps)


@jit
def mix(average, w, alpha, rest, first, end):
    average, w = average[first:end], w[first:end]
    for i in range(len(w)):
        average[i] = alpha * average[i] + rest * w[i]
