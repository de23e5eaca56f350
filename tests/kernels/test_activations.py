"""Every row of the table of activations: precision, slope, and what Numba makes of it."""

from importlib import import_module

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.common.activations import ACTIVATIONS, sigmoid
from darkpy.kernels.cpu import scalar
from darkpy.kernels.cpu.jit import inline, rebound

activate = import_module("darkpy.kernels.cpu.activate")  # its function has the module's name
ROWS = {row.name: row for row in ACTIVATIONS.values()}
ELEMENTWISE = [name for name, row in ROWS.items() if not row.over_channels]
OVER_CHANNELS = [name for name, row in ROWS.items() if row.over_channels]
# Near a zero of theirs these subtract numbers of size 1: their error is that of the numbers.
SUBTRACTING = {"gelu", "stair", "hard_mish", "plse"}


def arguments() -> np.ndarray:
    """Return float32 numbers from the tiny to those beyond which e^x overflows, of both signs."""
    line = np.concatenate([np.linspace(-87, 87, 20001), np.logspace(-30, 1.9, 2000)])
    return np.concatenate([line, -line, [0.0, 1e6, -1e6]]).astype(np.float32)


def check_precision(name: str, values: np.ndarray, exact: np.ndarray) -> None:
    assert values.dtype == np.float32
    floor = 1e-6 if name in SUBTRACTING else 1e-37  # the least float32 of full precision
    assert np.all(np.abs(values - exact) <= 1e-6 * np.abs(exact) + floor)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_value_is_precise_in_float32(name):
    x = arguments()
    with np.errstate(under="ignore"):
        check_precision(name, ROWS[name].value(x), ROWS[name].value(x.astype(np.float64)))


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_compiled_value_is_precise_too(name):
    x = arguments()
    with np.errstate(under="ignore"):
        exact = ROWS[name].value(x.astype(np.float64))
    check_precision(name, ops("cpu").activate(x, name), exact)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_value_of_no_number_is_none(name):
    x = np.array([np.nan, 1, np.nan], np.float32)
    for device in ("reference", "cpu"):
        with np.errstate(invalid="ignore"):
            assert np.isnan(ops(device).activate(x, name)).tolist() == [True, False, True]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_slope_is_the_derivative_of_the_value(name):
    x = np.linspace(-9.97, 9.97, 2000)  # its nearest numbers to a kink are .003 away
    row, step = ROWS[name], 1e-6
    quotient = (row.value(x + step) - row.value(x - step)) / (2 * step)
    assert np.abs(row.slope(x) - quotient).max() < 1e-7  # rounding makes 1e-9 of the quotient


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_slope_is_precise_in_float32(name):
    x = np.linspace(-9.97, 9.97, 2000).astype(np.float32)
    slope = ROWS[name].slope(x)
    assert slope.dtype == np.float32
    assert np.abs(slope - ROWS[name].slope(x.astype(np.float64))).max() < 2e-6  # of at most 2


@pytest.mark.parametrize("name", OVER_CHANNELS)
def test_gradient_over_channels_is_the_derivative(name, rng):
    row, x = ROWS[name], rng.permutation(2 * 5 * 3 * 4).reshape(2, 5, 3, 4) / 30 - 1.99
    dy, way, step = rng.standard_normal(x.shape), rng.standard_normal(x.shape), 1e-6
    change = (row.value(x + step * way) - row.value(x - step * way)) / (2 * step)
    assert (row.gradient(dy, x) * way).sum() == pytest.approx((change * dy).sum(), rel=1e-6)


@pytest.mark.parametrize("name", OVER_CHANNELS)
def test_shares_over_channels(name, rng):
    x = rng.standard_normal((2, 5, 3, 4)).astype(np.float32)
    y = ops("cpu").activate(x, name)
    assert y.dtype == np.float32
    sums = ROWS[name].parts(x).sum(1)
    assert y.sum(1) == pytest.approx(sums / (sums + np.float32(1e-4)), rel=1e-6)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("revleaky", "leaky"),
        ("norm_chan", "normalize_channels"),
        ("norm_chan_softmax", "normalize_channels_softmax"),
        ("norm_chan_softmax_maxval", "normalize_channels_softmax_maxval"),
    ],
)
def test_names_that_mean_the_same(alias, name):
    assert ACTIVATIONS[alias] is ACTIVATIONS[name]


def test_sigmoid_keeps_its_precision_far_from_zero_and_does_not_overflow():
    x = np.array([-1000, -87, -20, 0, 20, 1000], np.float32)
    exact = [0, np.exp(-87.0), np.exp(-20.0), 0.5, 1, 1]
    with np.errstate(over="raise", invalid="raise", under="ignore"):
        assert sigmoid(x) == pytest.approx(exact, rel=1e-6, abs=0)


@pytest.mark.parametrize("name", ["exp", "expm1", "tanh", "floor", "abs"])
def test_functions_for_the_compiler_are_those_of_numpy(name):
    x = np.concatenate([arguments(), [np.nan, np.inf, -np.inf, 88.7, 88.8]]).astype(np.float32)
    y = np.empty_like(x)
    inline(rebound(activate.apply, name, of_row=getattr(scalar, name)))(x, y, 0, len(x))
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.float64)).astype(np.float32)
    assert y == pytest.approx(exact, rel=3e-7, abs=1e-37, nan_ok=True)
