"""[sam]: an earlier layer times the last one, cell by cell.

A spatial attention module (Woo et al. 2018, https://arxiv.org/abs/1807.06521) as YOLOv4 has it;
darknet's sam_layer.c.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import NetworkError
from .base import Shape, section
from .product import Product


@section("sam")
@dataclass(frozen=True, kw_only=True)
class Sam(Product):
    """Keys of [sam]."""

    def shape(self, *xs: Shape) -> Shape:
        x, y = xs
        if x != y:
            raise NetworkError(
                f"the layer before is {x}, layer {self.from_} {y}; expected one shape"
            )
        return y
