"""[activation]: an activation as a layer of its own (darknet's activation_layer.c)."""

from __future__ import annotations

from dataclasses import dataclass

from darkpy.kernels.common.activations import ACTIVATIONS

from ..cfg import key
from .base import Array, Context, Layer, section


@section("activation")
@dataclass(frozen=True, kw_only=True)
class Activation(Layer):
    """Keys of [activation]."""

    activation: str = key("linear", choices=ACTIVATIONS)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,) = xs
        ctx.save(x)
        return ctx.ops.activate(x, self.activation)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        (x,) = ctx.saved
        return (ctx.ops.activate_grad(dy, x, self.activation),)
