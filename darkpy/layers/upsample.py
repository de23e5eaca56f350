"""[upsample]: each cell becomes a block of stride x stride cells; a negative stride sums blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import NetworkError
from .base import Array, Context, Layer, Shape, section


@section("upsample")
@dataclass(frozen=True, kw_only=True)
class Upsample(Layer):
    """Keys of [upsample]; values are multiplied by ``scale``."""

    stride: int = 2
    scale: float = 1.0

    def shape(self, *xs: Shape) -> Shape:
        (x,), s = xs, abs(self.stride)
        if not s:
            raise NetworkError("stride=0; expected a side of at least 1, or its negative")
        if self.stride > 0:
            return Shape(x.c, x.h * s, x.w * s)
        if x.h % s or x.w % s:
            raise NetworkError(f"{x.h} x {x.w} does not divide into blocks of {s} x {s}")
        return Shape(x.c, x.h // s, x.w // s)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        up, down = ctx.ops.upsample, ctx.ops.upsample_grad
        return (up if self.stride > 0 else down)(xs[0], **self._geometry)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        up, down = ctx.ops.upsample, ctx.ops.upsample_grad
        return ((down if self.stride > 0 else up)(dy, **self._geometry),)

    @property
    def _geometry(self) -> dict[str, Any]:
        return {"stride": abs(self.stride), "scale": self.scale}
