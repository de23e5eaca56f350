"""[detection]: the head of YOLO v1 (https://arxiv.org/abs/1506.02640); detection_layer.c."""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import key
from ..errors import NetworkError
from .base import Array, Context, Layer, Shape, section


@section("detection")
@dataclass(frozen=True, kw_only=True)
class Detection(Layer):
    """Keys of [detection]; apart from ``softmax`` and the sizes they act in training only.

    The output is in three parts, of so many values for each of the side * side cells: ``classes``
    probabilities, ``num`` confidences, ``num * coords`` of boxes. ``reorg`` has no effect, as in
    darknet.
    """

    is_head = True
    is_vector = True

    coords: int = key(1, least=1)
    classes: int = key(1, least=1)
    num: int = key(1, least=1)
    side: int = key(7, least=1)
    rescore: bool = False
    softmax: bool = False
    sqrt: bool = False
    max: int = key(200, least=1)
    coord_scale: float = 1.0
    forced: bool = False
    object_scale: float = 1.0
    noobject_scale: float = 1.0
    class_scale: float = 1.0
    jitter: float = 0.2
    resize: float = 1.0
    random: float = 0.0
    reorg: bool = False

    def shape(self, *xs: Shape) -> Shape:
        (x,) = xs
        needed = self.side**2 * ((1 + self.coords) * self.num + self.classes)
        if x.size != needed:
            raise NetworkError(
                f"expected an input of {needed} values, side * side * ((1 + coords) * num + "
                f"classes) with side={self.side}, coords={self.coords}, num={self.num}, "
                f"classes={self.classes}; got {x.size}"
            )
        return x

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,) = xs
        if not self.softmax:
            return x
        return ctx.ops.softmax(x, counts=(self.classes,) * self.side**2)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        return (dy,)
