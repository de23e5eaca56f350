"""[batchnorm]: batch normalisation as a layer of its own (darknet's batchnorm_layer.c)."""

from __future__ import annotations

from dataclasses import dataclass

from .base import Array, Context, Layer, Shape, section
from .normalize import norm_params, normalize, normalize_grad


@section("batchnorm")
@dataclass(frozen=True, kw_only=True)
class Batchnorm(Layer):
    """[batchnorm] has no key of its own."""

    def params(self, *xs: Shape) -> dict[str, tuple[int, ...]]:
        return {"biases": (xs[0].c,), **norm_params(xs[0].c)}

    def forward(self, ctx: Context, *xs: Array) -> Array:
        y, saved = normalize(ctx, xs[0])
        ctx.save(*saved)
        return y

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        return (normalize_grad(ctx, dy, ctx.saved),)
