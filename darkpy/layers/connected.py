"""[connected]: every output from every input; darknet's connected_layer.c.

Any activation of the table works here; darknet's CPU path knows only some of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from darkpy.kernels.common.activations import ACTIVATIONS

from ..cfg import key
from .base import Array, Context, Layer, Shape, section
from .normalize import norm_params, normalize, normalize_grad


@section("connected", "conn")
@dataclass(frozen=True, kw_only=True)
class Connected(Layer):
    """Keys of [connected]. The output is (output, 1, 1); the input is read in the order c, h, w."""

    is_vector = True
    follows_flag = True

    output: int = key(1, least=1)
    activation: str = key("logistic", choices=ACTIVATIONS)
    batch_normalize: bool = False

    def shape(self, *xs: Shape) -> Shape:
        return Shape(self.output, 1, 1)

    def params(self, *xs: Shape) -> dict[str, tuple[int, ...]]:
        n = self.output
        norm = norm_params(n) if self.batch_normalize else {}
        return {"biases": (n,), "weights": (n, xs[0].size), **norm}

    def forward(self, ctx: Context, *xs: Array) -> Array:
        ops, (x,) = ctx.ops, xs
        y = ops.linear(x, ctx.params["weights"])
        norm: tuple[Array, ...] = ()
        if self.batch_normalize:
            z, norm = normalize(ctx, y)
        else:
            z = ops.bias(y, ctx.params["biases"])
        ctx.save(x, norm, z)
        return ops.activate(z, self.activation)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        ops = ctx.ops
        x, norm, z = ctx.saved
        dz = ops.activate_grad(dy, z, self.activation)
        if self.batch_normalize:
            dlinear = normalize_grad(ctx, dz, norm)
        else:
            dlinear = dz
            ctx.add_grad("biases", ops.bias_grad(dz))
        ctx.add_grad("weights", ops.linear_weight_grad(dlinear, x))
        return (ops.linear_input_grad(dlinear, ctx.params["weights"], shape=x.shape),)
