"""[shortcut]: add earlier layers to the last one, each with a learned weight or not.

He et al. 2015, https://arxiv.org/abs/1512.03385; the weights are those of BiFPN (Tan et al. 2019,
https://arxiv.org/abs/1911.09070). darknet's shortcut_layer.c; maps of different height and width
are added as in the original darknet's shortcut_cpu.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darkpy.kernels.common.activations import ACTIVATIONS

from ..cfg import key
from ..errors import NetworkError
from .base import Array, Context, Layer, Shape, absolute, section

SHARES = {  # weights_normalization -> what makes shares of the weights, over the maps
    "none": "linear",
    "relu": "normalize_channels",
    "avg_relu": "normalize_channels",
    "softmax": "normalize_channels_softmax_maxval",
}


@section("shortcut")
@dataclass(frozen=True, kw_only=True)
class Shortcut(Layer):
    """Keys of [shortcut]; the output has the shape of the layer before it."""

    from_: tuple[int, ...] = key((), name="from")
    activation: str = key("linear", choices=ACTIVATIONS)
    weights_type: str = key("none", choices=("none", "per_feature", "per_layer", "per_channel"))
    weights_normalization: str = key("none", choices=SHARES)

    def inputs(self, index: int) -> tuple[int, ...]:
        if not self.from_:
            raise NetworkError("has no from=; expected the layers to add")
        return (index - 1, *absolute(index, self.from_))

    def shape(self, *xs: Shape) -> Shape:
        x, *adds = xs
        for link, add in zip(self.from_, adds, strict=True):
            if _ratio(add.h, x.h) != _ratio(add.w, x.w):
                raise NetworkError(
                    f"layer {link} is {add}, the one before {x}; expected maps whose heights and "
                    "widths have one whole ratio"
                )
        return x

    def params(self, *xs: Shape) -> dict[str, tuple[int, ...]]:
        if self.weights_type == "none":
            return {}
        return {"weights": (1, len(xs), xs[0].c if self.weights_type == "per_channel" else 1, 1)}

    def initial(
        self, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        return np.ones(shape, np.float32)

    def forward(self, ctx: Context, *xs: Array) -> Array:
        ops, w = ctx.ops, None
        if self.weights_type != "none":
            w = ops.activate(ctx.params["weights"], SHARES[self.weights_normalization])
            z = ops.weighted_shortcut(w, *xs)
        elif all(x.shape == xs[0].shape for x in xs):
            z = ops.add(*xs)
        else:
            z = ops.shortcut(*xs)
        ctx.save(z, w, xs if w is not None else (), tuple(x.shape for x in xs))
        return ops.activate(z, self.activation)

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        ops, (z, w, xs, shapes) = ctx.ops, ctx.saved
        dz = ops.activate_grad(dy, z, self.activation)
        if w is None:
            if all(shape == shapes[0] for shape in shapes):
                return (dz,) * len(shapes)
            return (dz, *ops.shortcut_grad(dz, shapes=shapes[1:]))
        dw, *dxs = ops.weighted_shortcut_grad(dz, w, *xs)
        kind = SHARES[self.weights_normalization]
        ctx.add_grad("weights", ops.activate_grad(dw, ctx.params["weights"], kind))
        return tuple(dxs)


def _ratio(a: int, b: int) -> tuple[int, int]:
    """Return the whole parts of a / b and b / a."""
    return a // b, b // a
