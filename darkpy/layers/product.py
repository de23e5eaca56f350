"""What [scale_channels] and [sam] share: an earlier layer times the last one, and activated."""

from __future__ import annotations

from dataclasses import dataclass

from darkpy.kernels.common.activations import ACTIVATIONS

from ..cfg import key
from ..errors import NetworkError
from .base import Array, Context, Layer, absolute


@dataclass(frozen=True, kw_only=True)
class Product(Layer):
    """Multiply the layer ``from`` by the one before this."""

    from_: int | None = key(None, name="from")
    activation: str = key("linear", choices=ACTIVATIONS)

    def inputs(self, index: int) -> tuple[int, ...]:
        if self.from_ is None:
            raise NetworkError("has no from=; expected the layer to multiply")
        return (index - 1, *absolute(index, (self.from_,)))

    def forward(self, ctx: Context, *xs: Array) -> Array:
        z = ctx.ops.multiply(*xs)
        ctx.save(*xs, z)
        return ctx.ops.activate(z, self.activation)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        x, y, z = ctx.saved
        dz = ctx.ops.activate_grad(dy, z, self.activation)
        return tuple(ctx.ops.multiply_grad(dz, x, y))
