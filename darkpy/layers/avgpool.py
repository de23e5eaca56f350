"""[avgpool]: the mean of each channel."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Array, Context, Layer, Shape, section


@section("avgpool", "avg")
@dataclass(frozen=True, kw_only=True)
class Avgpool(Layer):
    """[avgpool] has no key of its own."""

    def shape(self, *xs: Shape) -> Shape:
        return Shape(xs[0].c, 1, 1)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,) = xs
        ctx.save(x.shape)
        return ctx.ops.avgpool(x)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        (shape,) = ctx.saved
        return (ctx.ops.avgpool_grad(dy, shape=shape),)
