"""The table's convolutions and their gradients by what their groups are made of."""

from collections.abc import Callable
from typing import Any

import numpy as np

from darkpy.kernels.cuda.device import Launch
from darkpy.plan.fused import convolve
from tests.kernels.case import Case
from tests.kernels.cases import CASES

from .agree import REFERENCE, TOLERANCE, around, beside, device, from_map, rounded, to_map

Launches = Callable[..., list[Launch]]
# Types of x and y, activation (of which one is not 0 at 0), and where what is added goes.
TAILS = (
    ("float", "float", "logistic", None),
    ("half", "half", "leaky", "before"),
    ("bf16", "bf16", "mish", "after"),
    ("half", "float", "logistic", "after"),
)
OPS = ("conv2d", "conv2d_input_grad", "conv2d_weight_grad")


def kind(case: Case) -> str:
    """Return "depthwise": a filter a channel; "dense": one group; "grouped": all others."""
    first, second = case.draw()
    groups = case.numbers["groups"]
    if case.op == "conv2d":
        c, f = first.shape[1], second.shape[0]
    else:
        c = case.numbers["shape"][1] if case.op == "conv2d_input_grad" else second.shape[1]
        f = first.shape[1]
    if groups == 1:
        return "dense"
    return "depthwise" if c == f == groups else "grouped"


def small(wanted: str, *ops: str) -> list[Case]:
    """Return the cases of a kind that are not there to be timed; of some ops or of all."""
    among = [case for case in CASES if case.op in (ops or OPS) and not case.timed]
    return [case for case in among if kind(case) == wanted]


def fused(launches: Launches, w: np.ndarray, shape: tuple[int, ...], **numbers: Any) -> None:
    """Compare what is fused into a convolution with what it means, for several tails and types.

    launches  (device, y, x, w, bias, r, numbers) of float maps and arrays of the device
    """
    on = device()
    rng = np.random.default_rng(7)
    for type_, out, activation, residual in TAILS:
        keys = {**numbers, "activation": activation, "residual": residual}
        meaning = {**keys, "w": w, "scale": None, "pool": False}
        x = rounded(rng.standard_normal(shape).astype(np.float32), type_)
        bias = None if residual is None else rng.standard_normal(len(w)).astype(np.float32)
        plain = convolve(REFERENCE, x, 0, **{**meaning, "bias": None, "residual": None})
        r = rounded(rng.standard_normal(plain.shape).astype(np.float32), out)
        truth = convolve(REFERENCE, x.astype(float), r.astype(float), **{**meaning, "bias": bias})
        y = around(on, truth.shape, out)
        x_map, r_map = to_map(on, x, type_), to_map(on, r, out)
        on.run(launches(on, y, x_map, w, bias, r_map if residual else None, keys))
        error = np.abs(from_map(y) - truth).max() / np.abs(truth).max()
        assert error <= TOLERANCE[type_], (error, type_, activation, residual)
        assert np.isnan(beside(y)).all(), "channels of other maps were written"
