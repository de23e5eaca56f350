"""Convolution and its gradients, by the kernels that suit the groups."""

from typing import Any

from .convolve import convolve, input_grad
from .depthwise import (
    depthwise,
    depthwise_input_grad,
    depthwise_weight_grad,
    pack_taps,
    tap_count,
)
from .device import Device, Launch, Map, Scratch
from .grouped import band_count, grouped, grouped_weight_grad, pack_bands
from .pack import packed_first
from .packing import DEFAULT
from .weight_grad import dense_weight_grad

__all__ = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]

Pair = tuple[int, int]


def way(x: Map, f: int, groups: int) -> str:
    """Return how a convolution of x with f filters is computed: "depthwise", "dense", "grouped".

    Tensor cores take pieces of channels, so groups must be made of these; or there is but one.
    """
    if groups > 1 and groups == x.c == f:
        return "depthwise"
    whole = x.c // groups % x.piece == 0 and f // groups % x.piece == 0
    return "dense" if groups == 1 or whole else "grouped"


def conv2d(
    device: Device,
    y: Map,
    x: Map,
    w: Any,
    *,
    stride: Pair = (1, 1),
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    precision: str | None = None,
) -> list[Launch]:
    """y = x convolved with w (f, c / groups, k, k).

    precision  of the products of "float" maps: "fp32", also if None, or "tf32"
    """
    size = w.shape[2]
    numbers = {"size": size, "stride": stride, "padding": padding, "dilation": dilation}
    if way(x, y.c, groups) == "depthwise":
        taps = Scratch(tap_count(x, size))
        pack = pack_taps(device, taps, w, x=x, size=size)
        return [*pack, *depthwise(device, y, x, taps, **numbers)]
    if way(x, y.c, groups) == "dense":
        numbers |= {"groups": groups, "precision": precision or DEFAULT[x.type]}

        def launches(weights: Any) -> list[Launch]:
            return convolve(device, y, x, weights, **numbers)

        return packed_first(device, launches, w, groups=groups, type_=x.type)
    packed = Scratch(band_count(y, x, groups, size))
    pack = pack_bands(device, packed, w, y=y, x=x, groups=groups)
    return [*pack, *grouped(device, y, x, packed, groups=groups, **numbers)]


def conv2d_input_grad(
    device: Device,
    dx: Map,
    dy: Map,
    w: Any,
    residual: Map | None = None,
    *,
    shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    precision: str | None = None,
) -> list[Launch]:
    """dx = the gradient of the input of a convolution, given that of its result.

    residual   is added: a gradient that is there already, it may be in dx
    precision  as in `conv2d`
    """
    size = w.shape[2]
    numbers = {"size": size, "stride": stride, "padding": padding, "dilation": dilation}
    if way(dx, dy.c, groups) == "depthwise":
        taps = Scratch(tap_count(dx, size))
        pack = pack_taps(device, taps, w, x=dx, size=size)
        return [*pack, *depthwise_input_grad(device, dx, dy, taps, residual, **numbers)]
    if way(dx, dy.c, groups) == "dense":
        numbers |= {"groups": groups, "precision": precision or DEFAULT[dx.type]}

        def launches(weights: Any) -> list[Launch]:
            return input_grad(device, dx, dy, weights, residual, **numbers)

        return packed_first(device, launches, w, groups=groups, type_=dx.type, turned=True)
    packed = Scratch(band_count(dx, dy, groups, size))
    pack = pack_bands(device, packed, w, y=dx, x=dy, groups=groups, back=True)
    numbers |= {"groups": groups, "back": True, "residual": "after" if residual else None}
    return [*pack, *grouped(device, dx, dy, packed, None, residual, **numbers)]


def conv2d_weight_grad(
    device: Device,
    dw: Any,
    dy: Map,
    x: Map,
    *,
    size: int,
    stride: Pair = (1, 1),
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    precision: str | None = None,
    accumulate: bool = False,
) -> list[Launch]:
    """dw (f, c / groups, size, size) = the gradient of the weights, or is added to what is there.

    precision  as in `conv2d`
    """
    numbers = {"size": size, "stride": stride, "padding": padding, "dilation": dilation}
    if way(x, dy.c, groups) == "depthwise":
        return depthwise_weight_grad(device, dw, dy, x, **numbers, accumulate=accumulate)
    numbers |= {"groups": groups, "accumulate": accumulate}
    if way(x, dy.c, groups) == "dense":
        precision = precision or DEFAULT[x.type]
        return dense_weight_grad(device, dw, dy, x, **numbers, precision=precision)
    return grouped_weight_grad(device, dw, dy, x, **numbers)
