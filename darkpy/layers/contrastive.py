"""[contrastive]: a loss that draws embeddings of one class together; in darknet's softmax_layer.c.

Khosla et al. 2020, https://arxiv.org/abs/2004.11362.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cfg import LARGEST, key
from .base import Array, Context, Layer, absolute, section


@section("contrastive")
@dataclass(frozen=True, kw_only=True)
class Contrastive(Layer):
    """Keys of [contrastive]. Without truths, in inference, the output is zeros of the input's size.

    yolo_layer  the [yolo] whose truths label the embeddings; 0 means that pictures are labelled
    """

    is_head = True

    classes: int = key(1000, least=1)
    yolo_layer: int = 0
    temperature: float = key(1.0, least=1e-6)
    cls_normalizer: float = 1.0
    max_delta: float = LARGEST
    contrastive_neg_max: int = key(3, least=0)

    def inputs(self, index: int) -> tuple[int, ...]:
        if self.yolo_layer:
            absolute(index, (self.yolo_layer,))
        return super().inputs(index)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        return ctx.ops.zeros_like(xs[0])
