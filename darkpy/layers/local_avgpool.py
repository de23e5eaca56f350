"""[local_avgpool]: the mean of the cells in each window (darknet's forward_local_avgpool_layer).

Cells outside the map count neither in the sum nor in the number. The gradient is that of this
mean; darknet divides it by size x size at the edges too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .base import Array, Context, Shape, section
from .pool import Pool


@section("local_avgpool", "local_avg")
@dataclass(frozen=True, kw_only=True)
class LocalAvgpool(Pool):
    """Keys of [local_avgpool]."""

    def shape(self, *xs: Shape) -> Shape:
        return self.pooled(xs[0], self.strides)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,) = xs
        ctx.save(x.shape)
        return ctx.ops.local_avgpool(x, **self._geometry)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        (shape,) = ctx.saved
        return (ctx.ops.local_avgpool_grad(dy, shape=shape, **self._geometry),)

    @property
    def _geometry(self) -> dict[str, Any]:
        return {"size": self.window, "stride": self.strides, "padding": self.border}
