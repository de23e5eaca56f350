"""[maxpool]: the largest value of each window, or with ``maxpool_depth`` of every so many channels.

darknet's maxpool_layer.c. ``antialiasing`` pools at stride 1 and strides a blur after it;
``maxpool_zero_nonmax`` keeps the cells that are their own window's largest, where they are, and
zeroes the others (darknet does so on its GPU path only).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..cfg import key
from ..errors import NetworkError
from .antialias import blur, blur_grad, blurred
from .base import Array, Context, Shape, section
from .pool import Pool


@section("maxpool", "max")
@dataclass(frozen=True, kw_only=True)
class Maxpool(Pool):
    """Keys of [maxpool]; with ``maxpool_depth`` only ``out_channels`` counts."""

    maxpool_depth: bool = False
    out_channels: int = key(1, least=1)
    antialiasing: int = key(0, least=0, most=2)
    maxpool_zero_nonmax: bool = False

    def shape(self, *xs: Shape) -> Shape:
        (x,) = xs
        if self.maxpool_depth:
            return self._deep(x)
        y = self.pooled(x, self._geometry["stride"])
        if self.maxpool_zero_nonmax and y != x:
            raise NetworkError(
                f"maxpool_zero_nonmax=1 on {x} gives {y}; expected a pool that keeps the shape: "
                "stride=1 and the default padding"
            )
        return blurred(y, self.antialiasing, self.strides) if self.antialiasing else y

    def _deep(self, x: Shape) -> Shape:
        if self.antialiasing or self.maxpool_zero_nonmax:
            raise NetworkError("maxpool_depth=1 goes without antialiasing and maxpool_zero_nonmax")
        if self.out_channels > x.c:
            got = f"out_channels={self.out_channels}"
            raise NetworkError(f"{got}: expected at most the {x.c} channels of the input")
        return Shape(self.out_channels, x.h, x.w)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        ops, (x,) = ctx.ops, xs
        if self.maxpool_depth:
            y = ops.maxpool_depth(x, channels=self.out_channels)
            ctx.save(x, y)
            return y
        y = ops.maxpool(x, **self._geometry)
        ctx.save(x, y)
        out = ops.zero_nonmax(y, x) if self.maxpool_zero_nonmax else y
        return blur(ops, out, self.antialiasing, self.strides) if self.antialiasing else out

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        ops, (x, y) = ctx.ops, ctx.saved
        if self.maxpool_depth:
            return (ops.maxpool_depth_grad(dy, x, y),)
        if self.antialiasing:
            dy = blur_grad(ops, dy, y.shape, self.antialiasing, self.strides)
        if self.maxpool_zero_nonmax:
            return (ops.zero_nonmax_grad(dy, y, x),)
        return (ops.maxpool_grad(dy, x, y, **self._geometry),)

    @property
    def _geometry(self) -> dict[str, Any]:
        strides = (1, 1) if self.antialiasing else self.strides
        return {"size": self.window, "stride": strides, "padding": self.border}
