"""[reorg3d]: blocks of cells into channels, neighbours staying neighbours.

darknet's reorg_layer.c. Its ``reverse`` is what [reorg] would need to be undone, not the inverse of
its own forward: the map is taken for one of another shape.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import key
from .base import Array, Context, Layer, Shape, section
from .reorg import moved, require_channels


@section("reorg3d")
@dataclass(frozen=True, kw_only=True)
class Reorg3d(Layer):
    """Keys of [reorg3d]."""

    stride: int = key(1, least=1)
    reverse: bool = False

    def shape(self, *xs: Shape) -> Shape:
        if self.reverse:
            require_channels(xs[0], self.stride**4)
        return moved(xs[0], self.stride, self.reverse)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        move = ctx.ops.reorg_inverse if self.reverse else ctx.ops.space_to_depth
        return move(xs[0], stride=self.stride)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        move = ctx.ops.reorg if self.reverse else ctx.ops.depth_to_space
        return (move(dy, stride=self.stride),)
