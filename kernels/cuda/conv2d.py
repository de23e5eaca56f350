"""Convolution and its gradients, by the kernels that suit the groups."""

from collections.abc import Callable
from typing import Any

from .convolve import convolve, input_grad
from .depthwise import (
    depthwise,
    depthwise_input_grad,
    depthwise_weight_grad,
    pack_taps,
    tap_count,
)
from .device import TYPES, Device, Launch, Map, Scratch, room
from .grouped import band_count, grouped, grouped_weight_grad, pack_bands
from .pack import pack_weights
from .packing import padded
from .weight_grad import dense_weight_grad

__all__ = ["conv2d", "conv2d_input_grad", "conv2d_weight_grad"]

Kernel = Callable[..., list[Launch]]
Pair = tuple[int, int]
PRECISION = {"float": "fp32", "half": "fp16", "bf16": "bf16"}  # of products, unless asked otherwise


def way(x: Map, f: int, groups: int) -> str:
    """Return how a convolution of x with f filters is computed: "depthwise", "dense", "grouped".

    Tensor cores take pieces of channels, so groups must be made of these; or there is but one.
    """
    if groups == x.c == f:
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
        numbers |= {"groups": groups, "precision": precision or PRECISION[x.type]}
        return _packed(device, convolve, y, x, w, numbers, turned=False)
    packed = Scratch(band_count(y, x, groups, size))
    pack = pack_bands(device, packed, w, y=y, x=x, groups=groups)
    return [*pack, *grouped(device, y, x, packed, groups=groups, **numbers)]


def conv2d_input_grad(
    device: Device,
    dx: Map,
    dy: Map,
    w: Any,
    *,
    shape: tuple[int, ...],
    stride: Pair = (1, 1),
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    precision: str | None = None,
) -> list[Launch]:
    """dx = the gradient of the input of a convolution, given that of its result.

    precision  as in `conv2d`
    """
    size = w.shape[2]
    numbers = {"size": size, "stride": stride, "padding": padding, "dilation": dilation}
    if way(dx, dy.c, groups) == "depthwise":
        taps = Scratch(tap_count(dx, size))
        pack = pack_taps(device, taps, w, x=dx, size=size)
        return [*pack, *depthwise_input_grad(device, dx, dy, taps, **numbers)]
    if way(dx, dy.c, groups) == "dense":
        numbers |= {"groups": groups, "precision": precision or PRECISION[dx.type]}
        return _packed(device, input_grad, dx, dy, w, numbers, turned=True)
    packed = Scratch(band_count(dx, dy, groups, size))
    pack = pack_bands(device, packed, w, y=dx, x=dy, groups=groups, back=True)
    return [*pack, *grouped(device, dx, dy, packed, groups=groups, back=True, **numbers)]


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
        precision = precision or PRECISION[x.type]
        return dense_weight_grad(device, dw, dy, x, **numbers, precision=precision)
    return grouped_weight_grad(device, dw, dy, x, **numbers)


def _packed(
    device: Device, kernel: Kernel, y: Map, x: Map, w: Any, numbers: dict[str, Any], turned: bool
) -> list[Launch]:
    """Return the launches of a kernel on x and weights that are packed first, in scratch memory."""
    groups, (f, c, size, _) = numbers["groups"], w.shape
    rows, columns = (c * groups, f // groups) if turned else (f, c)
    count = rows * size * size * padded(columns, x.type)
    beside = room(kernel(device, y, x, None, **numbers))  # what the kernel takes of it
    weights = Scratch(count, TYPES[x.type], beside)
    pack = pack_weights(device, weights, w, groups=groups, type_=x.type, turned=turned)
    return [*pack, *kernel(device, y, x, weights, **numbers)]
