"""Every gradient of the reference against finite differences, in float64."""

import numpy as np
import pytest

from darkpy.kernels import ops
from tests.kernels.case import Case
from tests.kernels.cases import CASES

REFERENCE = ops("reference")
STEP = 1e-5
TOLERANCE = 1e-7  # of the derivative's own size; the difference quotient is exact to about 1e-9


def maxpool(o, dy, x, **numbers):
    return (o.maxpool_grad(dy, x, o.maxpool(x, **numbers), **numbers),)


def maxpool_depth(o, dy, x, *, channels):
    return (o.maxpool_depth_grad(dy, x, o.maxpool_depth(x, channels=channels)),)


def softmax(o, dy, x, **numbers):
    return (o.softmax_grad(dy, o.softmax(x, **numbers), **numbers),)


def conv2d(o, dy, x, w, **numbers):
    dx = o.conv2d_input_grad(dy, w, shape=x.shape, **numbers)
    return dx, o.conv2d_weight_grad(dy, x, size=w.shape[2], **numbers)


def local(o, dy, x, w, b, **numbers):
    dx = o.local_input_grad(dy, w, shape=x.shape, **numbers)
    return dx, *o.local_weight_grad(dy, x, size=w.shape[4], **numbers)


def largest_of_three(x):
    return REFERENCE.maxpool(x, size=3, stride=(1, 1), padding=2)


# Per op, the gradients of its arrays, as many as have one, from that of the result.
GRADIENTS = {
    "activate": lambda o, dy, x, name: (o.activate_grad(dy, x, name),),
    "avgpool": lambda o, dy, x: (o.avgpool_grad(dy, shape=x.shape),),
    "batchnorm": lambda o, dy, x, scales, biases, *_: o.batchnorm_grad(
        dy, x, scales, x.mean((0, 2, 3)), x.var((0, 2, 3))
    ),
    "bias": lambda o, dy, x, b: (dy, o.bias_grad(dy)),
    "channels": lambda o, dy, x, start, count: (
        o.channels_grad(dy, start=start, channels=x.shape[1]),
    ),
    "concat": lambda o, dy, *xs: o.concat_grad(dy, counts=[x.shape[1] for x in xs]),
    "conv2d": conv2d,
    "crop": lambda o, dy, x, places, scale, **_: (
        o.crop_grad(dy, places, shape=x.shape, scale=scale),
    ),
    "depth_to_space": lambda o, dy, x, stride: (o.space_to_depth(dy, stride=stride),),
    "linear": lambda o, dy, x, w: (
        o.linear_input_grad(dy, w, shape=x.shape),
        o.linear_weight_grad(dy, x),
    ),
    "local": local,
    "local_avgpool": lambda o, dy, x, **n: (o.local_avgpool_grad(dy, shape=x.shape, **n),),
    "lrn": lambda o, dy, x, **n: (o.lrn_grad(dy, x, **n),),
    "maxpool": maxpool,
    "maxpool_depth": maxpool_depth,
    "multiply": lambda o, dy, x, y: o.multiply_grad(dy, x, y),
    "reorg": lambda o, dy, x, stride: (o.reorg_inverse(dy, stride=stride),),
    "reorg_inverse": lambda o, dy, x, stride: (o.reorg(dy, stride=stride),),
    "repeat": lambda o, dy, w, x: (o.repeat_grad(dy),),
    "shortcut": lambda o, dy, x, *adds: (
        dy,
        *o.shortcut_grad(dy, shapes=[add.shape for add in adds]),
    ),
    "softmax": softmax,
    "space_to_depth": lambda o, dy, x, stride: (o.depth_to_space(dy, stride=stride),),
    "upsample": lambda o, dy, x, stride, scale: (o.upsample_grad(dy, stride=stride, scale=scale),),
    "weighted_shortcut": lambda o, dy, *arrays: o.weighted_shortcut_grad(dy, *arrays),
    "zero_nonmax": lambda o, dy, x: (o.zero_nonmax_grad(dy, largest_of_three(x), x),),
}
# Ops whose gradient is meant for arrays that depend on each other. That of batch normalisation is
# darknet's, which is the derivative where the variance is a mean over m.
FORWARD = {
    "batchnorm": lambda o, x, scales, biases, *_: o.batchnorm(
        x, scales, biases, x.mean((0, 2, 3)), x.var((0, 2, 3))
    ),
    "zero_nonmax": lambda o, x: o.zero_nonmax(largest_of_three(x), x),
}
ROWS = [case for case in CASES if case.op in GRADIENTS and not case.timed]


def forward(case: Case, arrays: list[np.ndarray]) -> np.ndarray:
    if case.op in FORWARD:
        return FORWARD[case.op](REFERENCE, *arrays)
    return getattr(REFERENCE, case.op)(*arrays, **case.numbers)


@pytest.mark.parametrize("case", ROWS, ids=str)
def test_gradient_is_the_derivative(case, rng):
    arrays = case.draw(np.float64)
    y = forward(case, arrays)
    dy = rng.standard_normal(y.shape)
    gradients = GRADIENTS[case.op](REFERENCE, dy.copy(), *arrays, **case.numbers)
    for at, gradient in enumerate(gradients):
        assert gradient.shape == arrays[at].shape
        assert gradient.dtype == np.float64
        for _ in range(2):
            way = rng.standard_normal(gradient.shape)
            moved = [
                forward(case, [*arrays[:at], arrays[at] + sign * STEP * way, *arrays[at + 1 :]])
                for sign in (1, -1)
            ]
            change = (moved[0] - moved[1]) / (2 * STEP)
            size = np.sqrt((change**2).sum() * (dy**2).sum())
            assert abs((gradient * way).sum() - (change * dy).sum()) <= TOLERANCE * size + 1e-12


def test_every_gradient_of_the_reference_has_rows():
    asked = set()

    class Recorder:
        def __getattr__(self, name):
            asked.add(name)
            return getattr(REFERENCE, name)

    for case in ROWS:
        arrays = case.draw(np.float64)
        dy = np.zeros_like(forward(case, arrays))
        GRADIENTS[case.op](Recorder(), dy, *arrays, **case.numbers)
    assert {name for name in vars(REFERENCE) if name.endswith("_grad")} <= asked
