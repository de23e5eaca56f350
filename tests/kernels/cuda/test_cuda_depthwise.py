"""Convolutions of each channel alone, with what is fused into them, and their gradients."""

import numpy as np
import pytest

from darkpy.kernels.cuda import conv2d_weight_grad
from darkpy.kernels.cuda.depthwise import depthwise, pack_taps, tap_count
from darkpy.kernels.cuda.device import Scratch
from tests.kernels.case import conv, conv_grads
from tests.kernels.cuda.agree import REFERENCE, agree, compare, device, to_map
from tests.kernels.cuda.convolutions import fused, small

SMALL = small("depthwise")
# More pieces than a block of the weights' gradient takes, padding within one, several pictures.
WIDE = [
    made
    for case in (
        conv(76, (9, 6), 76, 3, 1, 1, groups=76, n=2),
        conv(76, (9, 6), 76, 5, 2, 2, groups=76, n=2),
    )
    for made in (case, *conv_grads(case))
]


@pytest.mark.parametrize("case", [*SMALL, *WIDE], ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize("case", WIDE, ids=str)
def test_agrees_with_16_bits(case, type_):
    agree(case, type_)


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_order_of_threads_does_not_matter(order):
    agree(WIDE[1], "half", device(check=False, order=order))


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_fused(turned):
    """Turned windows at stride 1 are the gradient by the input."""
    numbers = {"stride": (1, 1), "padding": 2, "dilation": 1}
    w = np.random.default_rng(3).standard_normal((18, 1, 3, 3)).astype(np.float32)

    def launches(on, y, x, w, bias, r, keys):
        taps = Scratch(tap_count(x, 3))
        pack = pack_taps(on, taps, w, x=x, size=3, turned=turned)
        tail = {name: keys[name] for name in ("activation", "residual")}
        return [*pack, *depthwise(on, y, x, taps, bias, r, size=3, **numbers, **tail)]

    fused(launches, w, (2, 18, 5, 6), **numbers, groups=18, turned=turned)


def test_gradient_is_added_to_what_is_there():
    case = WIDE[1]
    on, (dy, x) = device(), case.draw()
    maps = [to_map(on, one, "float") for one in (dy, x)]
    dw = on.upload(np.ones((76, 1, 3, 3), np.float32))
    on.run(conv2d_weight_grad(on, dw, *maps, **case.numbers, accumulate=True))
    compare(on.download(dw), case.answers(REFERENCE, [dy, x])[0] + 1, "float", case)
