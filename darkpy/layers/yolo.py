"""[yolo]: the head of YOLO v3, v4 and v7 (https://arxiv.org/abs/1804.02767); yolo_layer.c."""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import LARGEST, key
from ..errors import NetworkError
from ..tree import ClassMap
from .base import Array, Context, Layer, Shape, section

IOU_KINDS = ("iou", "giou", "diou", "ciou")
MOST_ANCHORS = 10_000  # yolov4-p7 has 20


@dataclass(frozen=True, kw_only=True)
class AnchorHead(Layer):
    """The keys that [yolo] and [Gaussian_yolo] share.

    Inference uses ``classes``, ``num``, ``mask``, ``anchors``, ``scale_x_y`` and those about nms;
    the others act in training only.

    num      how many anchors all heads of the network have together
    mask     indices of this head's own; None is all of them
    anchors  w, h of all ``num`` in pixels of the network's input
    map      the class here of each class of a data set
    """

    is_head = True

    classes: int = key(20, least=1)
    num: int = key(1, least=1, most=MOST_ANCHORS)
    mask: tuple[int, ...] | None = key(None)
    anchors: tuple[float, ...] = key((), least=0)
    max: int = key(200, least=1)
    map: ClassMap | None = key(None)
    jitter: float = 0.2
    resize: float = 1.0
    random: float = 0.0
    ignore_thresh: float = 0.5
    truth_thresh: float = 1.0
    iou_thresh: float = 1.0
    iou_thresh_kind: str = key("iou", choices=IOU_KINDS)
    iou_loss: str = key("mse", choices=("mse", *IOU_KINDS))
    iou_normalizer: float = 0.75
    obj_normalizer: float = 1.0
    cls_normalizer: float = 1.0
    delta_normalizer: float = 1.0
    scale_x_y: float = 1.0
    objectness_smooth: bool = False
    max_delta: float = LARGEST
    label_smooth_eps: float = 0.0
    counters_per_class: tuple[int, ...] = ()
    beta_nms: float = 0.6

    @property
    def doubts(self) -> tuple[tuple[str, str], ...]:
        """What Section.build warns of."""
        return doubt_anchors(self.anchors, self.num)

    @property
    def indices(self) -> tuple[int, ...]:
        """Which of all anchors are this head's, in the order of its channels."""
        return tuple(range(self.num)) if self.mask is None else self.mask

    @property
    def priors(self) -> tuple[tuple[float, float], ...]:
        """(w, h) of each anchor of this head, in pixels of the network's input."""
        return tuple(pair(self.anchors, index) for index in self.indices)

    @property
    def all_priors(self) -> tuple[tuple[float, float], ...]:
        """(w, h) of the anchors of all heads that a truth may be given to, in the same pixels."""
        return tuple(
            pair(self.anchors, index) for index in range(max(self.num, max(self.indices) + 1))
        )

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        """Pass on what the loss gives: it is by the input already, as darknet takes no slope."""
        return (dy,)

    def require_fit(self, x: Shape, entries: int) -> None:
        """Raise NetworkError unless the keys fit each other, and x: classes + entries an anchor."""
        there = max(self.num, len(self.anchors) // 2)
        for index in self.mask or ():
            if not 0 <= index < there:
                raise NetworkError(
                    f"mask has {index}; expected 0..{there - 1}, as num={self.num} and "
                    f"anchors has {len(self.anchors) // 2} pairs"
                )
        anchors = self.num if self.mask is None else len(self.mask)
        require_filters(x, anchors, self.classes, entries)
        if self.counters_per_class and len(self.counters_per_class) != self.classes:
            raise NetworkError(
                f"counters_per_class has {len(self.counters_per_class)} numbers; "
                f"expected one for each of classes={self.classes}"
            )
        if self.map is not None and max(self.map) >= self.classes:
            raise NetworkError(f"map names class {max(self.map)}; expected 0..{self.classes - 1}")


@section("yolo")
@dataclass(frozen=True, kw_only=True)
class Yolo(AnchorHead):
    """Keys of [yolo]. The output is planar: for each anchor x, y, w, h, objectness and classes."""

    new_coords: bool = False
    nms_kind: str = key("default", choices=("default", "greedynms", "diounms"))
    focal_loss: bool = False
    show_details: bool = True
    embedding_layer: int = 999999  # none
    track_history_size: int = 5
    sim_thresh: float = 0.8
    dets_for_track: int = 1
    dets_for_show: int = 1
    track_ciou_norm: float = 0.01

    def shape(self, *xs: Shape) -> Shape:
        self.require_fit(xs[0], entries=5)
        return xs[0]

    def forward(self, ctx: Context, *xs: Array) -> Array:
        return ctx.ops.yolo(
            xs[0], classes=self.classes, scale_x_y=self.scale_x_y, new_coords=self.new_coords
        )


def pair(values: tuple[float, ...], index: int) -> tuple[float, float]:
    """Return the anchor (w, h) of that index of a key's numbers; .5 for one that is missing."""
    w, h, *_ = (*values[2 * index : 2 * index + 2], 0.5, 0.5)
    return w, h


def doubt_anchors(values: tuple[float, ...], num: int) -> tuple[tuple[str, str], ...]:
    """Return the warning, with its key, that the key's numbers are not a pair for each anchor."""
    if len(values) in (0, 2 * num):
        return ()
    few = len(values) < 2 * num
    what = "0.5 stands for the others" if few else "those beyond count only where mask names them"
    return (("anchors", f"anchors has {len(values)} numbers; num={num} needs {2 * num}; {what}"),)


def require_filters(x: Shape, anchors: int, classes: int, entries: int) -> None:
    """Raise NetworkError, with the ``filters=`` needed, unless x has a channel for each output."""
    needed = anchors * (classes + entries)
    if x.c != needed:
        raise NetworkError(
            f"expected {needed} channels, {anchors} anchors * (classes={classes} + {entries}); "
            f"got {x.c}; set filters={needed} in the [convolutional] before it, or mend classes, "
            "num or mask here"
        )
