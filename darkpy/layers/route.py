"""[route]: earlier layers one behind the other, or of each the channels of one group."""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import key
from ..errors import NetworkError
from .base import Array, Context, Layer, Shape, absolute, section


@section("route")
@dataclass(frozen=True, kw_only=True)
class Route(Layer):
    """Keys of [route]: ``group_id``, from 0, picks one of ``groups`` equal runs of channels."""

    layers: tuple[int, ...] = ()
    groups: int = key(1, least=1)
    group_id: int = key(0, least=0)

    def inputs(self, index: int) -> tuple[int, ...]:
        if not self.layers:
            raise NetworkError("has no layers=; expected the layers to put together")
        return absolute(index, self.layers)

    def shape(self, *xs: Shape) -> Shape:
        if self.group_id >= self.groups:
            got = f"group_id={self.group_id}"
            raise NetworkError(f"{got}: expected 0..{self.groups - 1}, for groups={self.groups}")
        for link, x in zip(self.layers, xs, strict=True):
            if x.c % self.groups:
                what = f"{x.c} channels of layer {link}"
                raise NetworkError(f"{what} do not divide into groups={self.groups}")
            if x[1:] != xs[0][1:]:
                raise NetworkError(
                    f"layer {link} is {x.h} x {x.w}, layer {self.layers[0]} {xs[0].h} x {xs[0].w}; "
                    "expected maps of one height and width"
                )
        return Shape(sum(x.c for x in xs) // self.groups, *xs[0][1:])

    def forward(self, ctx: Context, *xs: Array) -> Array:
        counts = tuple(x.shape[1] for x in xs)
        ctx.save(counts)
        if self.groups == 1:
            return ctx.ops.concat(*xs)
        parts = (
            ctx.ops.channels(x, start=c // self.groups * self.group_id, count=c // self.groups)
            for x, c in zip(xs, counts, strict=True)
        )
        return ctx.ops.concat(*parts)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        (counts,) = ctx.saved
        parts = ctx.ops.concat_grad(dy, counts=tuple(c // self.groups for c in counts))
        if self.groups == 1:
            return tuple(parts)
        return tuple(
            ctx.ops.channels_grad(part, start=c // self.groups * self.group_id, channels=c)
            for part, c in zip(parts, counts, strict=True)
        )
