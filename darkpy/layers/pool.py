"""The geometry that [maxpool] and [local_avgpool] share (darknet's make_maxpool_layer)."""

from __future__ import annotations

from dataclasses import dataclass

from darkpy.kernels.common.geometry import pool_output

from ..cfg import key
from .base import Layer, Shape


@dataclass(frozen=True, kw_only=True)
class Pool(Layer):
    """Windows of size x size; ``padding`` counts the cells of both sides together.

    Where they are not given, ``size`` is ``stride`` and ``padding`` is ``size - 1``. Window i
    begins at cell i * stride - padding // 2.
    """

    stride: int = key(1, least=1)
    stride_x: int | None = key(None, least=1)
    stride_y: int | None = key(None, least=1)
    size: int | None = key(None, least=1)
    padding: int | None = key(None, least=0)

    @property
    def strides(self) -> tuple[int, int]:
        """The strides (y, x)."""
        return self.stride_y or self.stride, self.stride_x or self.stride

    @property
    def window(self) -> int:
        """The side of a window."""
        return self.size or self.stride

    @property
    def border(self) -> int:
        """The cells of padding, both sides together."""
        return self.window - 1 if self.padding is None else self.padding

    def pooled(self, x: Shape, strides: tuple[int, int]) -> Shape:
        """Return the shape of the pool of x."""
        sides = (
            pool_output(n, self.window, stride, self.border)
            for n, stride in zip(x[1:], strides, strict=True)
        )
        return Shape(x.c, *sides)
