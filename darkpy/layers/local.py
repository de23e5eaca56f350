"""[local]: a convolution with weights of its own at every place (darknet's local_layer.c)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.kernels.common.geometry import conv_output

from ..cfg import key
from ..errors import NetworkError
from .base import Array, Context, Layer, Shape, drawn, section


@section("local")
@dataclass(frozen=True, kw_only=True)
class Local(Layer):
    """Keys of [local]; ``pad`` is the zero padding on each side in cells."""

    filters: int = key(1, least=1)
    size: int = key(1, least=1)
    stride: int = key(1, least=1)
    pad: int = key(0, least=0)
    activation: str = key("logistic", choices=ACTIVATIONS)

    def shape(self, *xs: Shape) -> Shape:
        (x,) = xs
        sides = [conv_output(n, self.size, self.stride, self.pad) for n in x[1:]]
        if self.pad and sides != [(n - 1) // self.stride + 1 for n in x[1:]]:
            what = f"pad={self.pad} with size={self.size}"
            raise NetworkError(f"{what}: expected pad={self.size // 2}, half the size")
        return Shape(self.filters, *sides)

    def params(self, *xs: Shape) -> dict[str, tuple[int, ...]]:
        (x,), y = xs, self.shape(*xs)
        return {"biases": tuple(y), "weights": (y.h, y.w, y.c, x.c, self.size, self.size)}

    def initial(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        if name == "biases":
            return np.zeros(shape, np.float32)
        scale = math.sqrt(2 / math.prod(shape[3:]))
        return drawn(rng, shape, -scale, scale)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        (x,), p = xs, ctx.params
        z = ctx.ops.local(x, p["weights"], p["biases"], stride=self.stride, padding=self.pad)
        ctx.save(x, z)
        return ctx.ops.activate(z, self.activation)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        ops, (x, z) = ctx.ops, ctx.saved
        geometry = {"stride": self.stride, "padding": self.pad}
        dz = ops.activate_grad(dy, z, self.activation)
        dw, db = ops.local_weight_grad(dz, x, size=self.size, **geometry)
        ctx.add_grad("biases", db)
        ctx.add_grad("weights", dw)
        return (ops.local_input_grad(dz, ctx.params["weights"], shape=x.shape, **geometry),)
