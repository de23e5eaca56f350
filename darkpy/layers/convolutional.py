"""[convolutional]: convolution, then batch normalisation or a bias, then an activation.

darknet's convolutional_layer.c. ``antialiasing`` runs it at stride 1 and strides a blur after it
(Zhang 2019, https://arxiv.org/abs/1904.11486); ``xnor`` and ``binary`` use signs times a mean
(Rastegari et al. 2016, https://arxiv.org/abs/1603.05279), in their floating-point meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.kernels.common.geometry import conv_output

from ..cfg import key
from ..errors import NetworkError
from .antialias import blur, blur_grad, blurred
from .base import Array, Context, Layer, Shape, absolute, section
from .normalize import norm_params, normalize, normalize_grad

NOT_SHARED = -1000000000  # darknet's mark of a missing share_index


@section("convolutional", "conv")
@dataclass(frozen=True, kw_only=True)
class Convolutional(Layer):
    """Keys of [convolutional]; ``cbn`` and those of training experiments act in training only."""

    filters: int = key(1, least=1)
    groups: int = key(1, least=1)
    size: int = key(1, least=1)
    stride: int = key(1, least=1)
    stride_x: int = key(0, least=-1)
    stride_y: int = key(0, least=-1)
    dilation: int = key(1, least=1)
    pad: bool = False
    padding: int = key(0, least=0)
    activation: str = key("logistic", choices=ACTIVATIONS)
    batch_normalize: bool = False
    cbn: bool = False
    binary: bool = False
    xnor: bool = False
    bin_output: bool = False
    flipped: bool = False
    dot: float = 0.0
    antialiasing: int = key(0, least=0, most=2)
    assisted_excitation: float = 0.0
    share_index: int = NOT_SHARED
    sway: bool = False
    rotate: bool = False
    stretch: bool = False
    stretch_sway: bool = False
    angle: float = 15.0
    grad_centr: bool = False
    reverse: float = 0.0
    coordconv: bool = False
    stream: int = -1
    wait_stream: int = -1

    @property
    def transposed(self) -> tuple[str, ...]:
        return ("weights",) if self.flipped else ()

    @property
    def normalizes(self) -> bool:
        """Whether the output is normalised over the batch."""
        return self.batch_normalize or self.cbn

    @property
    def strides(self) -> tuple[int, int]:
        """The strides (y, x)."""
        y, x = (one if one > 0 else self.stride for one in (self.stride_y, self.stride_x))
        return y, x

    @property
    def spacing(self) -> int:
        """The dilation in force; a window of one cell has none."""
        return self.dilation if self.size > 1 else 1

    @property
    def border(self) -> int:
        """The zero padding on each side."""
        return (self.size // 2 if self.pad else self.padding) * self.spacing

    @property
    def split(self) -> int:
        """The groups in force; xnor has one."""
        return 1 if self.xnor else self.groups

    def share(self, index: int) -> int:
        if self.share_index == NOT_SHARED:
            return index
        return absolute(index, (self.share_index,))[0]

    def _before_blur(self, x: Shape) -> Shape:
        strides = (1, 1) if self.antialiasing else self.strides
        sides = [
            conv_output(n, self.size, stride, self.border, self.spacing)
            for n, stride in zip((x.h, x.w), strides, strict=True)
        ]
        return Shape(self.filters, *sides)

    def shape(self, *xs: Shape) -> Shape:
        (x,) = xs
        for what, n in (("input channels", x.c), ("filters", self.filters)):
            if n % self.split:
                raise NetworkError(f"{n} {what} do not divide into groups={self.split}")
        y = self._before_blur(x)
        return blurred(y, self.antialiasing, self.strides) if self.antialiasing else y

    def params(self, *xs: Shape) -> dict[str, tuple[int, ...]]:
        n = self.filters
        norm = norm_params(n) if self.normalizes else {}
        weights = (n, xs[0].c // self.split, self.size, self.size)
        return {"biases": (n,), **norm, "weights": weights}

    def forward(self, ctx: Context, *xs: Array) -> Array:
        ops, (x,) = ctx.ops, xs
        w = ctx.params["weights"]
        if self.binary or self.xnor:
            w = ops.binarize_weights(w)
        seen = ops.signs(x) if self.xnor else x
        y = ops.conv2d(seen, w, **self._geometry())
        norm: tuple[Array, ...] = ()
        if self.normalizes:
            z, norm = normalize(ctx, y)
        else:
            z = ops.bias(y, ctx.params["biases"])
        out = ops.activate(z, self.activation)
        ctx.save(x, seen, w, norm, z, out.shape)
        return blur(ops, out, self.antialiasing, self.strides) if self.antialiasing else out

    def backward(self, ctx: Context, dy: Array) -> tuple[Array, ...]:
        ops = ctx.ops
        x, seen, w, norm, z, shape = ctx.saved
        if self.antialiasing:
            dy = blur_grad(ops, dy, shape, self.antialiasing, self.strides)
        dz = ops.activate_grad(dy, z, self.activation)
        if self.normalizes:
            dconv = normalize_grad(ctx, dz, norm)
        else:
            dconv = dz
            ctx.add_grad("biases", ops.bias_grad(dz))
        geometry = self._geometry()
        ctx.add_grad("weights", ops.conv2d_weight_grad(dconv, seen, size=self.size, **geometry))
        if not ctx.input_grads:
            return (None,)
        return (ops.conv2d_input_grad(dconv, w, shape=x.shape, **geometry),)

    def _geometry(self) -> dict[str, object]:
        return {
            "stride": (1, 1) if self.antialiasing else self.strides,
            "padding": self.border,
            "dilation": self.spacing,
            "groups": self.split,
        }
