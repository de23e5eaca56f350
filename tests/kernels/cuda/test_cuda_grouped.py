"""Convolutions of groups of any size, with what is fused into them, and their gradients."""

import numpy as np
import pytest

from darkpy.kernels.cuda.device import Scratch
from darkpy.kernels.cuda.grouped import band_count, grouped, pack_bands
from tests.kernels.case import conv, conv_grads
from tests.kernels.cuda.agree import agree, device
from tests.kernels.cuda.convolutions import fused, small

# Groups that begin within a piece, of fewer channels than filters and the other way round; more
# pieces than a block of the weights' gradient takes.
ODD = [
    made
    for case in (
        conv(30, (5, 7), 20, 3, 2, 1, groups=10, n=2),
        conv(22, (6, 5), 66, 3, 1, 2, 2, groups=22),
        conv(80, 4, 80, 1, groups=20),
    )
    for made in (case, *conv_grads(case))
]


@pytest.mark.parametrize("case", [*small("grouped"), *ODD], ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize("case", ODD[:6], ids=str)
def test_agrees_with_16_bits(case, type_):
    agree(case, type_)


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_order_of_threads_does_not_matter(order):
    agree(ODD[1], "half", device(check=False, order=order))


def test_what_is_fused():
    numbers = {"stride": (1, 2), "padding": 1, "dilation": 1}
    w = np.random.default_rng(3).standard_normal((12, 3, 3, 3)).astype(np.float32)

    def launches(on, y, x, w, bias, r, keys):
        packed = Scratch(band_count(y, x, 6, 3))
        pack = pack_bands(on, packed, w, y=y, x=x, groups=6)
        tail = {name: keys[name] for name in ("activation", "residual")}
        return [*pack, *grouped(on, y, x, packed, bias, r, groups=6, size=3, **numbers, **tail)]

    fused(launches, w, (2, 18, 5, 6), **numbers, groups=6)
