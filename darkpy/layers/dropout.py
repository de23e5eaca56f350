"""[dropout]: in training, zero some values and scale the others up; otherwise nothing.

darknet's dropout_layer.c. With ``dropblock`` whole squares drop out (Ghiasi et al. 2018,
https://arxiv.org/abs/1810.12890), from the first iteration on with the full probability and size;
darknet lets both grow during training.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import key
from .base import Array, Context, Layer, section


@section("dropout")
@dataclass(frozen=True, kw_only=True)
class Dropout(Layer):
    """Keys of [dropout]; the side of a square is in cells (abs) or a share of the map's (rel)."""

    probability: float = key(0.2, least=0, most=1)
    dropblock: bool = False
    dropblock_size_rel: float = key(0.0, least=0, most=1)
    dropblock_size_abs: int = key(0, least=0)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        ops, (x,) = ctx.ops, xs
        if not ctx.train:
            return x
        if self.dropblock:
            side = self._side(*x.shape[2:])
            mask = ops.dropblock_mask(x, ctx.rng, probability=self.probability, size=side)
        else:
            mask = ops.dropout_mask(x, ctx.rng, probability=self.probability)
        ctx.save(mask)
        return ops.multiply(x, mask)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        (mask,) = ctx.saved
        return (ctx.ops.multiply(dy, mask),)

    def _side(self, h: int, w: int) -> int:
        """Return the side of a square on a map of h x w; 7 if no key says."""
        side = self.dropblock_size_abs or 7
        if self.dropblock_size_rel and not self.dropblock_size_abs:
            side = int(self.dropblock_size_rel * min(h, w))
        return max(1, min(side, h, w))
