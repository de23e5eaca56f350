"""[crop]: the middle of a picture, moved from 0..1 to -1..1; in training a random place, mirrored.

darknet's crop_layer.c. Each picture of a batch has a place of its own, as on darknet's GPU path,
which also turns and recolours it by ``angle``, ``saturation``, ``exposure`` and ``shift``; here, as
on its CPU path, they do nothing, and training says so.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass

import numpy as np

from ..cfg import key
from ..errors import NetworkError
from .base import Array, Context, Layer, Shape, section

log = logging.getLogger(__name__)


@section("crop")
@dataclass(frozen=True, kw_only=True)
class Crop(Layer):
    """Keys of [crop]; with ``noadjust`` values stay as they are."""

    crop_height: int = key(1, least=1)
    crop_width: int = key(1, least=1)
    flip: bool = False
    angle: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    shift: float = 0.0
    noadjust: bool = False

    def shape(self, *xs: Shape) -> Shape:
        (x,) = xs
        if self.crop_height > x.h or self.crop_width > x.w:
            got = f"crop_height={self.crop_height}, crop_width={self.crop_width}"
            raise NetworkError(f"{got}: expected at most the {x.h} x {x.w} of the input")
        return Shape(x.c, self.crop_height, self.crop_width)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,) = xs
        places = self._places(ctx, x.shape)
        ctx.save(x.shape, places)
        size = {"height": self.crop_height, "width": self.crop_width}
        return ctx.ops.crop(x, places, **size, **self._levels)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        shape, places = ctx.saved
        if not ctx.input_grads:
            return (None,)
        return (ctx.ops.crop_grad(dy, places, shape=shape, scale=self._levels["scale"]),)

    @property
    def _levels(self) -> dict[str, float]:
        return {"scale": 1.0, "offset": 0.0} if self.noadjust else {"scale": 2.0, "offset": -1.0}

    def _places(self, ctx: Context, shape: tuple[int, ...]) -> Array:
        """Return (top, left, whether mirrored) for each picture of a batch of ``shape``, (n, 3)."""
        n, _, h, w = shape
        down, right = h - self.crop_height, w - self.crop_width
        if not ctx.train:
            return np.tile(np.array([down // 2, right // 2, 0], np.float32), (n, 1))
        if (self.angle, self.saturation, self.exposure, self.shift) != (0, 1, 1, 0):
            _tell(self)
        return ctx.ops.crop_places(ctx.rng, count=n, down=down, right=right, flip=self.flip)


@functools.cache
def _tell(layer: Crop) -> None:
    """Log, once for a layer, what of it training leaves out."""
    log.warning("[crop] angle, saturation, exposure and shift have no effect in training")
