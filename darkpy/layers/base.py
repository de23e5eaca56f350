"""What a layer is: one section of a .cfg as a frozen record, without an array of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..cfg import key
from ..errors import NetworkError

MOST = 2**31 - 1  # values of an array; darknet counts them in 32-bit integers
Array = Any  # numpy.ndarray or cupy.ndarray, (n, c, h, w) unless said otherwise


class Shape(NamedTuple):
    """The shape of what a layer puts out for one picture; a vector of n is (n, 1, 1)."""

    c: int
    h: int
    w: int

    @property
    def size(self) -> int:
        """The number of values."""
        return self.c * self.h * self.w

    def __str__(self) -> str:
        return f"{self.c}x{self.h}x{self.w}"


class Context(Protocol):
    """What a layer may touch while it runs; darkpy.run has the one that computes."""

    ops: Any  # the kernels of a device
    params: dict[str, Array]
    train: bool
    rng: np.random.Generator
    saved: tuple[Any, ...]
    input_grads: bool  # whether `backward` is asked for the gradients of the inputs

    def save(self, *values: Any) -> None:
        """Keep values for the way back; nothing is kept in inference."""

    def add_grad(self, name: str, value: Array) -> None:
        """Add to the gradient of the parameter ``name``."""


LAYERS: dict[str, type[Layer]] = {}
AnyLayer = TypeVar("AnyLayer", bound="type[Layer]")


def section(*names: str) -> Callable[[AnyLayer], AnyLayer]:
    """Register a layer under the section names that a .cfg may use for it; the first is its own."""

    def register(cls: AnyLayer) -> AnyLayer:
        cls.section = names[0]
        for name in names:
            LAYERS[name] = cls
        return cls

    return register


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The contract of every layer; subclasses are frozen dataclasses of their section's keys.

    The keys below are common to all sections: darknet's parser.c reads them after each layer.
    ``learning_rate`` multiplies the network's own.

    is_head       its output is what the network is asked for
    is_vector     its output is flat, not planar
    follows_flag  a .weights file holds ``weights`` transposed if its header says "transposed"
    """

    section: ClassVar[str] = ""
    is_head: ClassVar[bool] = False
    is_vector: ClassVar[bool] = False
    follows_flag: ClassVar[bool] = False

    clip: float = 0.0
    dynamic_minibatch: bool = False
    onlyforward: bool = False
    dont_update: int = 0
    burnin_update: int = 0
    stopbackward: int = 0
    train_only_bn: bool = False
    dontload: bool = False
    dontloadscales: bool = False
    learning_rate: float = key(1.0)

    @property
    def transposed(self) -> tuple[str, ...]:
        """Names of the matrices that a .weights file holds with rows and columns exchanged."""
        return ()

    def share(self, index: int) -> int:
        """Return the index of the layer whose parameters this one, at ``index``, uses."""
        return index

    def inputs(self, index: int) -> tuple[int, ...]:
        """Return the indices of the layers that feed this one; -1 is the picture."""
        return (index - 1,)

    def shape(self, *xs: Shape) -> Shape:
        """Return the shape of the output. Raises NetworkError if the inputs do not fit."""
        return xs[0]

    def params(self, *xs: Shape) -> dict[str, tuple[int, ...]]:
        """Return the shape of each parameter, in the order of a .weights file."""
        return {}

    def forward(self, ctx: Context, *xs: Array) -> Array:
        """Compute the output from the inputs, through ``ctx.ops`` alone."""
        raise NetworkError(f"[{self.section}] cannot be run")

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        """Return the gradient of each input, given that of the output; add those of parameters.

        Where ``ctx.input_grads`` is false, None may stand for the gradient of an input. A head with
        a loss is given the loss's gradient by its input, and passes it on in the input's order.
        """
        raise NetworkError(f"[{self.section}] cannot be trained")

    def initial(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return the values that a parameter starts with, as darknet's make_*_layer sets them.

        But the rolling variance starts at 1, not 0, so that an untrained network can be run.
        """
        if name == "weights":
            scale = math.sqrt(2 / max(1, math.prod(shape[1:])))
            return drawn(rng, shape, -scale, scale)
        return np.full(shape, name in ("scales", "rolling_variance"), np.float32)


def drawn(
    rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float
) -> NDArray[np.float32]:
    """Return values between low and high; no array of another type is made on the way."""
    values = rng.random(shape, np.float32)
    values *= np.float32(high - low)
    values += np.float32(low)
    return values


def absolute(index: int, links: Sequence[int]) -> tuple[int, ...]:
    """Return darknet's layer references as absolute indices; negative ones count back from here.

    Raises NetworkError for one that is not an earlier layer.
    """
    found = tuple(link if link >= 0 else index + link for link in links)
    for link, at in zip(links, found, strict=True):
        if not 0 <= at < index:
            raise NetworkError(f"refers to layer {link}; expected one of 0..{index - 1} before it")
    return found
