"""Pictures as vectors times a matrix, with what is fused into that, and the gradients."""

from dataclasses import replace

import numpy as np
import pytest

from darkpy.kernels.cuda import connect
from darkpy.kernels.cuda.linear import as_window
from darkpy.kernels.cuda.pack import pack_weights, packed_first
from darkpy.kernels.cuda.packing import pack
from tests.kernels.case import Case, normal
from tests.kernels.cases import CASES
from tests.kernels.cuda.agree import (
    REFERENCE,
    TOLERANCE,
    agree,
    around,
    beside,
    device,
    from_map,
    rounded,
    to_map,
)


def all_three(n: int, c: int, h: int, w: int, f: int) -> list[Case]:
    """Return cases of the product and of both gradients."""
    x, matrix, dy = normal(n, c, h, w), normal(f, c * h * w), normal(n, f, 1, 1)
    name = f"{n}x{c}x{h}x{w}-{f}"
    return [
        Case("linear", name, (x, matrix)),
        Case("linear_input_grad", name, (dy, matrix), {"shape": (n, c, h, w)}),
        Case("linear_weight_grad", name, (dy, x)),
    ]


# One picture, several blocks of them, and so many that tensor cores take them.
SMALL = [case for case in CASES if case.op == "linear" and not case.timed]
SEVERAL = [
    case
    for sizes in ((1, 5, 4, 3, 21), (6, 9, 2, 3, 13), (9, 6, 3, 3, 10), (9, 300, 1, 1, 70))
    for case in all_three(*sizes)
]


@pytest.mark.parametrize("case", [*SMALL, *SEVERAL], ids=str)
def test_agrees_with_the_reference(case):
    agree(case)


@pytest.mark.parametrize("type_", ["half", "bf16"])
@pytest.mark.parametrize("case", SEVERAL[3:6], ids=str)
def test_agrees_with_16_bits(case, type_):
    agree(case, type_)


@pytest.mark.parametrize("case", SEVERAL[-3:], ids=str)
def test_tf32_rounds_to_10_bits(case):
    agree(replace(case, tolerance=1e-3), precision="tf32")


@pytest.mark.parametrize("order", ["reverse", "random"])
def test_order_of_threads_does_not_matter(order):
    agree(SEVERAL[3], on=device(check=False, order=order))
    agree(SEVERAL[4], on=device(check=False, order=order))


@pytest.mark.parametrize("n", [1, 9])
@pytest.mark.parametrize(
    ("type_", "out"), [("float", "float"), ("half", "half"), ("half", "float")]
)
def test_bias_and_activation(n, type_, out):
    on, rng = device(), np.random.default_rng(5)
    x, w = (rounded(rng.standard_normal(one), type_) for one in ((n, 10, 2, 2), (9, 40)))
    bias = rng.standard_normal(9).astype(np.float32)
    truth = REFERENCE.bias(REFERENCE.linear(x.astype(float), w.astype(float)), bias)
    truth = REFERENCE.activate(truth, "logistic")
    y, at = around(on, truth.shape, out), to_map(on, x, type_)

    def launches(weights):
        return connect(on, y, at, weights, bias, activation="logistic")

    on.run(packed_first(on, launches, as_window(on.upload(w), at), type_=type_))
    assert np.abs(from_map(y) - truth).max() <= TOLERANCE[out] * np.abs(truth).max()
    assert np.isnan(beside(y)).all(), "channels of other maps were written"


@pytest.mark.parametrize("turned", [False, True])
def test_windows_that_are_no_squares_are_packed_alike_on_both_sides(turned):
    on = device()
    w = np.random.default_rng(5).standard_normal((6, 5, 3, 2)).astype(np.float32)
    truth = pack(w, "half", turned=turned)
    packed = on.upload(np.full_like(truth, np.nan))
    on.run(pack_weights(on, packed, on.upload(w), groups=1, type_="half", turned=turned))
    np.testing.assert_array_equal(packed, truth)
