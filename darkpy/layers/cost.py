"""[cost]: the distance of the layer before it from the truth; darknet's cost_layer.c."""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import key
from .base import Array, Context, Layer, section


@section("cost")
@dataclass(frozen=True, kw_only=True)
class Cost(Layer):
    """Keys of [cost]. The output is the input in training; in inference zeros of its size."""

    is_head = True
    is_vector = True

    type: str = key("sse", choices=("sse", "masked", "smooth"))
    scale: float = 1.0
    ratio: float = 0.0

    def forward(self, ctx: Context, *xs: Array) -> Array:
        return xs[0] if ctx.train else ctx.ops.zeros_like(xs[0])

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        return (dy,)
