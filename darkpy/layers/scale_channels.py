"""[scale_channels]: an earlier layer, each channel times a number, or with ``scale_wh`` each cell.

Hu et al. 2017, https://arxiv.org/abs/1709.01507; darknet's scale_channels_layer.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NetworkError
from .base import Shape, section
from .product import Product


@section("scale_channels")
@dataclass(frozen=True, kw_only=True)
class ScaleChannels(Product):
    """Keys of [scale_channels]; the layer before holds the numbers."""

    scale_wh: bool = False

    def shape(self, *xs: Shape) -> Shape:
        x, y = xs
        expected = Shape(1, y.h, y.w) if self.scale_wh else Shape(y.c, 1, 1)
        if x != expected:
            raise NetworkError(f"the layer before is {x}; expected {expected} to scale {y}")
        return y
