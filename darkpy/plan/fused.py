"""What ops mean that passes made: in terms of the kernels' own, for maps that numpy holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..layers.base import Array
from .trace import Op

GEOMETRY = ("stride", "padding", "dilation", "groups")


def convolve(ops: Any, x: Array, r: Array = None, **numbers: Any) -> Array:
    """Convolve, scale and bias, add, activate, pool.

    w, scale, bias  the weights of each filter are w * scale; None stands for 1, and for 0
    residual        "before" adds r to what is activated, "after" to what the activation gives
    pool            take the largest of each 2 x 2 cells at the end
    """
    w, scale, bias = numbers["w"], numbers["scale"], numbers["bias"]
    w = w if scale is None else w * scale[:, None, None, None]
    y = ops.conv2d(x, w, **{name: numbers[name] for name in GEOMETRY})
    y = y if bias is None else ops.bias(y, bias)
    y = ops.add(y, r) if numbers["residual"] == "before" else y
    y = ops.activate(y, numbers["activation"])
    y = ops.add(y, r) if numbers["residual"] == "after" else y
    return ops.maxpool(y, size=2, stride=(2, 2), padding=1) if numbers["pool"] else y


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


def normalize(ops: Any, y: Array, *, scales: Array, biases: Array, activation: str) -> Any:
    """Normalise over the batch and activate; return that, the mean and the variance."""
    mean, variance = ops.batch_statistics(y)
    z = ops.batchnorm(y, scales, biases, mean, variance)
    return ops.activate(z, activation), mean, variance


def normalize_grad(
    ops: Any, dout: Array, y: Array, mean: Array, variance: Array, **numbers: Any
) -> Any:
    """Return the gradients of y, scales and biases."""
    scales = numbers["scales"]
    z = ops.batchnorm(y, scales, numbers["biases"], mean, variance)
    dz = ops.activate_grad(dout, z, numbers["activation"])
    return ops.batchnorm_grad(dz, y, scales, mean, variance)


MEANING = {
    "chain": chain,
    "convolve": convolve,
    "connect": connect,
    "shortcut": shortcut,
    "add": add,
    "multiply": multiply,
    "copy": copy,
    "normalize": normalize,
    "normalize_grad": normalize_grad,
}
