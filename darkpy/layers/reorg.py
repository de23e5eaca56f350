"""[reorg]: YOLOv2's passthrough, blocks of cells into channels in the order its weights know.

darknet's reorg_old_layer.c. Forward, the map is taken for one of another shape, which scatters
neighbours; with ``reverse`` it is not, so that the two do not undo each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import key
from ..errors import NetworkError
from .base import Array, Context, Layer, Shape, section


@section("reorg")
@dataclass(frozen=True, kw_only=True)
class Reorg(Layer):
    """Keys of [reorg]."""

    stride: int = key(1, least=1)
    reverse: bool = False

    def shape(self, *xs: Shape) -> Shape:
        require_channels(xs[0], self.stride**2)
        return moved(xs[0], self.stride, self.reverse)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        move = ctx.ops.depth_to_space if self.reverse else ctx.ops.reorg
        return move(xs[0], stride=self.stride)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        move = ctx.ops.space_to_depth if self.reverse else ctx.ops.reorg_inverse
        return (move(dy, stride=self.stride),)


def moved(x: Shape, stride: int, reverse: bool) -> Shape:
    """Return the shape of x after blocks went into channels, or with ``reverse`` out of them."""
    if reverse:
        return Shape(x.c // stride**2, x.h * stride, x.w * stride)
    if x.h % stride or x.w % stride:
        raise NetworkError(f"{x.h} x {x.w} does not divide into blocks of {stride} x {stride}")
    return Shape(x.c * stride**2, x.h // stride, x.w // stride)


def require_channels(x: Shape, multiple: int) -> None:
    """Raise NetworkError if the channels of x are not a multiple of ``multiple``."""
    if x.c % multiple:
        raise NetworkError(f"{x.c} input channels; expected a multiple of {multiple}")
