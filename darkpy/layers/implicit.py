"""[implicit]: a learned map that does not depend on the picture.

The implicit knowledge of YOLOR (Wang et al. 2021, https://arxiv.org/abs/2105.04206); darknet's
representation_layer.c.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cfg import key
from .base import Array, Context, Layer, Shape, drawn, section


@section("implicit")
@dataclass(frozen=True, kw_only=True)
class Implicit(Layer):
    """Keys of [implicit]; the map is drawn from mean - std to mean + std."""

    mean: float = key(0.0, least=-1e38, most=1e38)
    std: float = key(0.2, least=0, most=1e38)
    filters: int = key(128, least=1)
    atoms: int = key(1, least=1)

    def inputs(self, index: int) -> tuple[int, ...]:
        return (-1,)  # only to know how many pictures there are

    def shape(self, *xs: Shape) -> Shape:
        return Shape(self.filters, self.atoms, 1)

    def params(self, *xs: Shape) -> dict[str, tuple[int, ...]]:
        return {"weights": (self.filters, self.atoms, 1)}

    def initial(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        return drawn(rng, shape, self.mean - self.std, self.mean + self.std)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,) = xs
        ctx.save(x)
        return ctx.ops.repeat(ctx.params["weights"], x)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        (x,) = ctx.saved
        ctx.add_grad("weights", ctx.ops.repeat_grad(dy))
        return (ctx.ops.zeros_like(x),)
