"""[region]: the head of YOLO v2 and YOLO9000 (https://arxiv.org/abs/1612.08242); region_layer.c."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..cfg import key
from ..errors import NetworkError
from ..tree import ClassMap, Tree
from .base import Array, Context, Layer, Shape, section
from .yolo import doubt_anchors, pair, require_filters


@section("region")
@dataclass(frozen=True, kw_only=True)
class Region(Layer):
    """Keys of [region]; apart from the sizes, ``softmax`` and ``tree`` they act in training only.

    The output's values are in the order (h, w, num, 5 + classes): x, y, w, h as the layer before
    gives them, objectness after the logistic function, classes after softmax if ``softmax`` or
    ``tree`` is set and as they are otherwise.

    ``log``, ``sqrt``, ``absolute`` and ``mask_scale`` have no effect, as in darknet.

    anchors  w, h of each of ``num`` in cells of the grid
    map      the class of the tree that each class of a data set is
    """

    is_head = True

    coords: int = key(4, least=4, most=4)
    classes: int = key(20, least=1)
    num: int = key(1, least=1)
    max: int = key(200, least=1)
    log: bool = False
    sqrt: bool = False
    softmax: bool = False
    focal_loss: bool = False
    jitter: float = 0.2
    resize: float = 1.0
    rescore: bool = False
    thresh: float = 0.5
    classfix: int = 0
    absolute: bool = False
    random: float = 0.0
    coord_scale: float = 1.0
    object_scale: float = 1.0
    noobject_scale: float = 1.0
    mask_scale: float = 1.0
    class_scale: float = 1.0
    bias_match: bool = False
    tree: str | None = key(None, path=True)
    map: ClassMap | None = key(None)
    anchors: tuple[float, ...] = key((), least=0)

    @property
    def doubts(self) -> tuple[tuple[str, str], ...]:
        """What Section.build warns of."""
        return doubt_anchors(self.anchors, self.num)

    @property
    def priors(self) -> tuple[tuple[float, float], ...]:
        """(w, h) of each anchor, in cells of the grid."""
        return tuple(pair(self.anchors, index) for index in range(self.num))

    @cached_property
    def hierarchy(self) -> Tree | None:
        """The tree of classes, read when it is first needed; CfgError if it cannot be."""
        return Tree.read(self.tree).require(self.classes) if self.tree else None

    def shape(self, *xs: Shape) -> Shape:
        (x,) = xs
        require_filters(x, self.num, self.classes, entries=5)
        if self.map is not None and max(self.map) >= self.classes:
            raise NetworkError(f"map names class {max(self.map)}; expected 0..{self.classes - 1}")
        return x

    def forward(self, ctx: Context, *xs: Array) -> Array:
        counts: tuple[int, ...] = (self.classes,) if self.softmax else ()
        if self.hierarchy is not None:
            counts = self.hierarchy.counts
        return ctx.ops.region(xs[0], classes=self.classes, counts=counts)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        return (ctx.ops.region_inverse(dy, classes=self.classes),)
