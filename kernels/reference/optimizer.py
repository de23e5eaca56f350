"""The steps of an optimizer: these ops alone change their arguments, and return nothing.

``grad`` is the gradient of the loss summed over the ``batch`` pictures, dL/dw; darknet keeps its
negative, the update. ``rate``, ``decay`` and the others are numbers.
"""

import numpy as np

__all__ = ["adam_step", "ema_step", "sgd_step"]


def sgd_step(w, grad, momentum_buffer, *, rate, momentum, decay, batch):
    """Move w along the update, and keep ``momentum`` of that for the next step.

    With momentum_buffer the weight_updates of darknet's update_convolutional_layer: the update is
    momentum_buffer - grad - decay * batch * w, and w moves by rate / batch of it. Changes w and
    momentum_buffer, arrays of one shape.
    """
    update = momentum_buffer
    update -= grad
    update -= np.float32(decay * batch) * w
    w += np.float32(rate / batch) * update
    update *= np.float32(momentum)


def adam_step(w, grad, m, v, *, rate, B1, B2, eps, decay, batch, t):
    """Move w by its update's mean over the root of its square's mean, both rolling.

    Kingma and Ba 2014 (https://arxiv.org/abs/1412.6980) as darknet's adam_update_gpu has it: the
    update is -grad - decay * batch * w, not divided by the batch, and eps is beside the root.
    Changes w and the rolling means m and v, arrays of one shape; t counts steps from 1.
    """
    update = -grad - np.float32(decay * batch) * w
    m *= np.float32(B1)
    m += np.float32(1 - B1) * update
    v *= np.float32(B2)
    v += np.float32(1 - B2) * (update * update)
    root = np.sqrt(v * np.float32(1 / (1 - B2**t)))
    w += np.float32(rate / (1 - B1**t)) * m / (root + np.float32(eps))


def ema_step(average, w, *, alpha):
    """Move ``average`` to alpha * average + (1 - alpha) * w; changes it alone."""
    average *= np.float32(alpha)
    average += np.float32(1 - alpha) * w
