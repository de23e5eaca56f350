"""What ops mean that passes made: in terms of the kernels' own, for maps that numpy holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..layers.base import Array
from .trace import Op

HALF: dict[str, Any] = {"size": 2, "stride": (2, 2), "padding": 1}
GEOMETRY = ("stride", "padding", "dilation", "groups")


def convolve(ops: Any, x: Array, r: Array = None, **numbers: Any) -> Array:
    """Convolve, scale and bias, add, activate, pool.

    w, scale, bias  the weights of each filter are w * scale; None stands for 1, and for 0
    residual        "before" adds r to what is activated, "after" to what the activation gives
    pool            take the largest of each 2 x 2 cells at the end
    turned          w is that of a convolution of which this is the gradient by its input
    repeat          write each pixel so many times, down and to the right
    """
    w, scale, bias = numbers["w"], numbers["scale"], numbers["bias"]
    w = w if scale is None else w * scale[:, None, None, None]
    keys = {name: numbers[name] for name in GEOMETRY}
    y = ops.conv2d(x, turned(w, keys["groups"]) if numbers.get("turned") else w, **keys)
    y = y if bias is None else ops.bias(y, bias)
    y = ops.add(y, r) if numbers["residual"] == "before" else y
    y = ops.activate(y, numbers["activation"])
    y = ops.add(y, r) if numbers["residual"] == "after" else y
    y = ops.maxpool(y, **HALF) if numbers["pool"] else y
    repeat = numbers.get("repeat", 1)
    return ops.upsample(y, stride=repeat, scale=1.0) if repeat > 1 else y


def turned(w: Array, groups: int) -> Array:
    """Return w (f, c / groups, k, k) with windows turned about, filters and channels exchanged."""
    f, c, k, _ = w.shape
    grouped = w.reshape(groups, f // groups, c, k, k)[..., ::-1, ::-1]
    return np.ascontiguousarray(grouped.transpose(0, 2, 1, 3, 4)).reshape(-1, f // groups, k, k)


def input_grad(ops: Any, dy: Array, known: Array = None, *, w: Array, **numbers: Any) -> Array:
    """Return the gradient of a convolution's input, added to what is known of it."""
    dx = ops.conv2d_input_grad(dy, w, **numbers)
    return dx if known is None else ops.add(known, dx)


def batchnorm(ops: Any, y: Array, *known: Array, activation: str = "linear") -> Array:
    """Normalise by known statistics and activate."""
    return ops.activate(ops.batchnorm(y, *known), activation)


def chain(ops: Any, x: Array, r: Array = None, *, parts: Sequence[Op]) -> Array:
    """Convolve with each of some ``convolve`` in turn; the last one adds r."""
    for op in parts[:-1]:
        x = convolve(ops, x, **op.numbers)
    return convolve(ops, x, r, **parts[-1].numbers)


def connect(ops: Any, x: Array, **numbers: Any) -> Array:
    """Multiply each picture with a matrix, scale and bias, activate: w as in `convolve`."""
    w, scale, bias = numbers["w"], numbers["scale"], numbers["bias"]
    y = ops.linear(x, w if scale is None else w * scale[:, None])
    y = y if bias is None else ops.bias(y, bias)
    return ops.activate(y, numbers["activation"])


def shortcut(ops: Any, *xs: Array, activation: str = "linear") -> Array:
    """Add maps of different sizes onto the first, and activate the sum."""
    return ops.activate(ops.shortcut(*xs), activation)


def add(ops: Any, *xs: Array, activation: str = "linear") -> Array:
    """Add maps and activate the sum."""
    return ops.activate(ops.add(*xs), activation)


def multiply(ops: Any, x: Array, y: Array, activation: str = "linear") -> Array:
    """Multiply maps and activate the product."""
    return ops.activate(ops.multiply(x, y), activation)


def copy(ops: Any, x: Array) -> Array:
    """Return the map itself; it is written elsewhere."""
    return x


def spp(ops: Any, x: Array, *, sizes: Sequence[int]) -> tuple[Array, ...]:
    """Pool a map at stride 1 by windows of several sizes."""
    keys: dict[str, Any] = {"stride": (1, 1)}
    return tuple(ops.maxpool(x, size=size, padding=size - 1, **keys) for size in sizes)


def normalize(
    ops: Any, y: Array, *, scales: Array, biases: Array, activation: str, pool: bool
) -> Any:
    """Normalise over the batch and activate, then pool two by two; return that, mean, variance."""
    mean, variance = ops.batch_statistics(y)
    out = ops.activate(ops.batchnorm(y, scales, biases, mean, variance), activation)
    return ops.maxpool(out, **HALF) if pool else out, mean, variance


def normalize_grad(
    ops: Any, dout: Array, y: Array, mean: Array, variance: Array, **numbers: Any
) -> Any:
    """Return the gradients of y, scales and biases."""
    scales, kind = numbers["scales"], numbers["activation"]
    z = ops.batchnorm(y, scales, numbers["biases"], mean, variance)
    if numbers["pool"]:
        out = ops.activate(z, kind)
        dout = ops.maxpool_grad(dout, out, ops.maxpool(out, **HALF), **HALF)
    return ops.batchnorm_grad(ops.activate_grad(dout, z, kind), y, scales, mean, variance)


MEANING = {
    "chain": chain,
    "convolve": convolve,
    "connect": connect,
    "shortcut": shortcut,
    "add": add,
    "multiply": multiply,
    "copy": copy,
    "input_grad": input_grad,
    "batchnorm": batchnorm,
    "spp": spp,
    "normalize": normalize,
    "normalize_grad": normalize_grad,
}
