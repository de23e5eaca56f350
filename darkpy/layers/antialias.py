"""Stride by a blur, as ``antialiasing`` asks (Zhang 2019, https://arxiv.org/abs/1904.11486)."""

from __future__ import annotations

from typing import Any

from darkpy.kernels.common.geometry import conv_output

from ..errors import NetworkError
from .base import MOST, Array, Shape


def blurred(x: Shape, kind: int, strides: tuple[int, int]) -> Shape:
    """Return the shape of x after the blur ``kind``, 1 or 2. Raises NetworkError for a vast x."""
    if x.size > MOST:
        raise NetworkError(f"has {x.size:,} values before its blur; expected at most {MOST:,}")
    size, border = blur_window(kind)
    sides = (conv_output(n, size, s, border) for n, s in zip(x[1:], strides, strict=True))
    return Shape(x.c, *sides)


def blur(ops: Any, x: Array, kind: int, strides: tuple[int, int]) -> Array:
    """Return x (n, c, h, w) blurred and thinned by strides (y, x)."""
    return ops.conv2d(x, ops.blur_kernel(x, kind), **_geometry(x.shape[1], kind, strides))


def blur_grad(
    ops: Any, dy: Array, shape: tuple[int, ...], kind: int, strides: tuple[int, int]
) -> Array:
    """Return the gradient of x, of ``shape`` (n, c, h, w)."""
    kernel = ops.blur_kernel(dy, kind)
    return ops.conv2d_input_grad(dy, kernel, shape=shape, **_geometry(shape[1], kind, strides))


def _geometry(channels: int, kind: int, strides: tuple[int, int]) -> dict[str, Any]:
    return {"stride": strides, "padding": blur_window(kind)[1], "dilation": 1, "groups": channels}


def blur_window(kind: int) -> tuple[int, int]:
    """Return size and padding of the blur that ``antialiasing=kind`` means."""
    return (3, 1) if kind == 1 else (2, 0)
