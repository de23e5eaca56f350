"""[normalization]: local response normalisation over channels.

Krizhevsky et al. 2012, https://papers.nips.cc/paper/4824, section 3.3. The sum of squares is that
of the whole window at every channel; darknet's recurrence (normalization_layer.c) leaves one
channel out and takes it off again later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..cfg import key
from .base import Array, Context, Layer, section


@section("normalization", "lrn")
@dataclass(frozen=True, kw_only=True)
class Normalization(Layer):
    """Keys of [normalization]: y = x (kappa + alpha sum of size squares) ^ -beta."""

    alpha: float = key(0.0001, least=0)
    beta: float = 0.75
    kappa: float = key(1.0, least=0)
    size: int = key(5, least=1)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,) = xs
        ctx.save(x)
        return ctx.ops.lrn(x, **self._numbers)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        (x,) = ctx.saved
        return (ctx.ops.lrn_grad(dy, x, **self._numbers),)

    @property
    def _numbers(self) -> dict[str, Any]:
        return {"size": self.size, "alpha": self.alpha, "beta": self.beta, "kappa": self.kappa}
