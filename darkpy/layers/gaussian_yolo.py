"""[Gaussian_yolo]: a [yolo] whose boxes have a deviation; gaussian_yolo_layer.c.

Choi et al. 2019, https://arxiv.org/abs/1904.04620.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import key
from .base import Array, Context, Shape, section
from .yolo import AnchorHead


@section("Gaussian_yolo")
@dataclass(frozen=True, kw_only=True)
class GaussianYolo(AnchorHead):
    """Keys of [Gaussian_yolo].

    The output is planar: for each anchor mean and deviation of x, y, w and h in turn, objectness
    and classes.

    yolo_point  which point of the box x and y are
    """

    nms_kind: str = key("default", choices=("default", "greedynms", "diounms", "cornersnms"))
    uc_normalizer: float = 1.0
    yolo_point: str = key("center", choices=("center", "left_top", "right_bottom"))

    def shape(self, *xs: Shape) -> Shape:
        self.require_fit(xs[0], entries=9)
        return xs[0]

    def forward(self, ctx: Context, *xs: Array) -> Array:
        return ctx.ops.gaussian_yolo(xs[0], classes=self.classes, scale_x_y=self.scale_x_y)
