"""[softmax]: probabilities that sum to one; darknet's softmax_layer.c."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..cfg import key
from ..errors import NetworkError
from ..tree import Tree
from .base import Array, Context, Layer, Shape, section


@section("softmax", "soft")
@dataclass(frozen=True, kw_only=True)
class Softmax(Layer):
    """Keys of [softmax].

    groups   so many softmaxes over equal runs of the input
    tree     one softmax for the children of each class (YOLO9000, arxiv.org/abs/1612.08242)
    spatial  one softmax over the channels of each pixel, as darknet's GPU path has it
    noloss   adds nothing to the loss of a training, and takes the gradient of its output back
    """

    is_head = True
    is_vector = True

    groups: int = key(1, least=1)
    temperature: float = key(1.0, least=1e-6)
    tree: str | None = key(None, path=True)
    spatial: bool = False
    noloss: bool = False

    @cached_property
    def hierarchy(self) -> Tree | None:
        """The tree of classes, read when it is first needed; CfgError if it cannot be."""
        return Tree.read(self.tree) if self.tree else None

    def shape(self, *xs: Shape) -> Shape:
        (x,) = xs
        if x.size % self.groups:
            raise NetworkError(f"{x.size} values do not divide into groups={self.groups}")
        return x

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,) = xs
        counts = self._counts(x.shape)
        y = ctx.ops.softmax(x, counts=counts, temperature=self.temperature)
        if self.noloss:
            ctx.save(y, counts)
        return y

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        if not self.noloss:
            return (dy,)  # the loss's, and that of a [cost] after it, are by the input
        y, counts = ctx.saved
        return (ctx.ops.softmax_grad(dy, y, counts=counts, temperature=self.temperature),)

    def _counts(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return how many values each softmax has; None if there is one a pixel."""
        if self.hierarchy is not None:
            return self.hierarchy.require(Shape(*shape[1:]).size).counts
        if self.spatial:
            return None
        return (Shape(*shape[1:]).size // self.groups,) * self.groups
