"""How convolutions are computed: the engine's algorithms, their weights, and the choice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.cpu.engine import bf16, depthwise, direct, first, packing, store, winograd
from ..kernels.cpu.engine.records import Map, Row
from .trace import Op

BLOCK = 16  # channels side by side
WORTH = 0.9  # of the time of direct convolution that Winograd's way may take at stride 2
LEARNS = 4  # the largest m of a training: with 6, losses of yolov3-tiny are off by .02 in six steps
FIRST = 15  # most channels of a planar map that a convolution reads as it is


@dataclass(frozen=True)
class Choice:
    """An algorithm and its options, as "winograd" with m and tiles."""

    name: str
    options: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        options = dict(self.options)
        if self.name == "winograd":
            words = f"winograd F{options['m']} tiles {options['tiles']}"
            shares = options.get("shares", 1)
            return words + (f" shares {shares}" if shares > 1 else "")
        return self.name


@dataclass(frozen=True)
class Geometry:
    """What a convolution is, but for its numbers.

    w_shape  of the weights in a .weights file, (f, c / groups, k, k)
    turned   the convolution is the data gradient of one with these weights, at stride 1
    x, y     shapes (n, c, h, w), y before a pool
    planar   x is planar
    pool     y is pooled, two by two, on the way out
    half     computed with bf16: x is, or y
    learns   it is a part of a step of training
    """

    w_shape: tuple[int, ...]
    stride: tuple[int, int]
    padding: int
    dilation: int
    groups: int
    x: tuple[int, ...]
    y: tuple[int, ...]
    planar: bool = False
    pool: bool = False
    turned: bool = False
    half: bool = False
    learns: bool = False

    @property
    def largest(self) -> int:
        """The largest m of Winograd's way: errors of F(6) show in the steps that follow."""
        return LEARNS if self.learns else 6

    @property
    def size(self) -> int:
        """The side of the window."""
        return self.w_shape[2]

    @property
    def flops(self) -> int:
        """Floating point operations of the direct way."""
        n, f, h, w = self.y
        return 2 * n * f * h * w * (self.x[1] // self.groups) * self.size**2

    @property
    def margin(self) -> tuple[int, int, int, int]:
        """The zeros needed around x: (top, left, bottom, right)."""
        return reach(
            self.x,
            self.y,
            size=self.size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )


def reach(
    x: tuple[int, ...], y: tuple[int, ...], *, size: int, stride: Any, padding: int, dilation: int
) -> tuple[int, int, int, int]:
    """Return the zeros around x (n, c, h, w) that a convolution to y reads, as `Geometry` does."""
    after = [
        max(padding, (count - 1) * step + dilation * (size - 1) - padding - (cells - 1))
        for count, step, cells in zip(y[2:], stride, x[2:], strict=True)
    ]
    return padding, padding, after[0], after[1]


def alone(op: Op) -> bool:
    """Return whether a gradient is that of a convolution of each channel alone, to one filter."""
    n = op.numbers
    other = op.inputs[1] if op.kind == "conv2d_weight_grad" else op.output
    alike = n["stride"][0] == n["stride"][1] or op.kind == "conv2d_weight_grad"
    return n["groups"] > 1 and n["groups"] == op.inputs[0].shape[1] == other.shape[1] and alike


def geometry(op: Op) -> Geometry:
    """Return the geometry of a ``convolve``."""
    n, x = op.numbers, op.inputs[0]
    times = 2 if n["pool"] else 1
    b, f, h, w = op.output.shape
    keys = {key: n[key] for key in ("stride", "padding", "dilation", "groups")}
    shape = (b, f, h * times, w * times)
    turned = n.get("turned", False)
    return Geometry(
        n["w"].shape,
        **keys,
        x=x.shape,
        y=shape,
        planar=x.root.planar,
        pool=n["pool"],
        turned=turned,
        half=any(one.root.half for one in (x, op.output)),
    )


def choose(g: Geometry, threads: int, strict: bool = False) -> Choice:
    """Return the algorithm that is taken: what `darkpy tune` found on this machine, or `estimate`.

    strict  none that is less exact than the direct sum
    """
    return recalled(g, threads, strict) or estimate(g, threads, strict)


def recalled(g: Geometry, threads: int, strict: bool = False) -> Choice | None:
    """Return what `remember` was told, if it is among what can compute a convolution."""
    known = store.recall(key(g, threads, strict))
    if not isinstance(known, dict):
        return None
    name, options = known.get("name"), known.get("options")
    for one in candidates(g, threads, strict):
        if one.name == name and dict(one.options) == options:
            return one
    return None


def estimate(g: Geometry, threads: int, strict: bool = False) -> Choice:
    """Return the algorithm that is taken without measuring."""
    if g.half:
        return Choice("bf16 depthwise" if is_depthwise(g) else "bf16")
    if g.planar:
        return Choice("first")
    if is_depthwise(g):
        return Choice("depthwise")
    if suits_winograd(g) and min(g.x[1], g.y[1]) >= 16:
        return winograd_choice(g, threads, strict)
    return Choice("direct")


def winograd_choice(g: Geometry, threads: int, strict: bool) -> Choice:
    """Return the way of Winograd that should cost least; at stride 2 if it is worth the while."""
    what: dict[str, Any] = {"x": g.x, "filters": g.y[1], "threads": threads}
    stride = g.stride[0]
    options = winograd.choose(**what, strict=strict, pool=g.pool, stride=stride, largest=g.largest)
    direct_cost = winograd.direct_cost(**what, stride=stride)
    if stride == 2 and winograd.cost(**what, **options) > WORTH * direct_cost:
        return Choice("direct")
    return transformed(options)


def candidates(g: Geometry, threads: int, strict: bool = False) -> list[Choice]:
    """Return every algorithm that can compute a convolution."""
    if g.half or g.planar or is_depthwise(g):
        return [estimate(g, threads, strict)]
    found = [Choice("direct")]
    if suits_winograd(g):
        options = winograd.candidates(
            g.x, g.y[1], threads, strict, g.pool, g.stride[0], largest=g.largest
        )
        found += map(transformed, options)
    return found


def remember(g: Geometry, threads: int, strict: bool, choice: Choice) -> None:
    """Let `choose` return a choice from now on, on this machine."""
    value = {"name": choice.name, "options": dict(choice.options)}
    store.remember(key(g, threads, strict), value)


def forget(g: Geometry, threads: int, strict: bool) -> None:
    """Let `choose` return what it estimates."""
    store.remember(key(g, threads, strict), None)


def key(g: Geometry, threads: int, strict: bool) -> str:
    """Return under which name the choice for a convolution is kept."""
    return f"{g}, {threads} threads{', strict' if strict else ''}"


def is_depthwise(g: Geometry) -> bool:
    """Return whether each channel is a group of its own."""
    return 1 < g.groups == g.x[1] == g.y[1]


def suits_winograd(g: Geometry) -> bool:
    """Return whether Winograd's way can compute a convolution."""
    plain = g.padding == g.dilation == g.groups == 1
    return plain and g.size == 3 and g.stride in ((1, 1), (2, 2))


def transformed(options: dict[str, int]) -> Choice:
    """Return Winograd's way with some options."""
    return Choice("winograd", tuple(sorted(options.items())))


def packed_shape(choice: Choice, g: Geometry) -> tuple[int, ...]:
    """Return the shape of the packed weights."""
    found: tuple[int, ...]
    if choice.name == "bf16":
        found = bf16.packed_shape(g.w_shape, planar=g.planar)
    elif choice.name == "first":
        found = first.packed_shape(g.w_shape)
    elif choice.name == "depthwise":
        found = depthwise.packed_shape(g.w_shape)
    elif choice.name == "bf16 depthwise":
        found = bf16.depthwise_shape(g.w_shape)
    elif choice.name == "winograd":
        f, c = g.w_shape[:2]
        shape = (c, f, 3, 3) if g.turned else g.w_shape
        options = dict(choice.options)
        found = winograd.packed_shape(shape, options["m"], options.get("stride", 1))
    else:
        found = packing.packed_shape(g.w_shape, g.groups, turned=g.turned)
    return found


def empty(choice: Choice, g: Geometry) -> Any:
    """Return the array that packed weights go into: zeros, float32, or uint16 for bf16."""
    kind = np.uint16 if choice.name == "bf16" else np.float32
    return packing.aligned(packed_shape(choice, g), kind)


def pack(choice: Choice, g: Geometry, w: int, packed: Any) -> list[Row]:
    """Return the rows that pack weights at the address w."""
    found: list[Row]
    if choice.name == "bf16":
        found = bf16.pack(w, packed, shape=g.w_shape, planar=g.planar)
    elif choice.name == "first":
        found = first.pack(w, packed, shape=g.w_shape)
    elif choice.name in ("depthwise", "bf16 depthwise"):
        found = depthwise.pack(w, packed, shape=g.w_shape, turned=g.turned)
    elif choice.name == "winograd":
        how = {key: value for key, value in choice.options if key in ("m", "stride")}
        found = winograd.pack(w, g.w_shape, packed, **how, turned=g.turned)
    else:
        found = packing.pack(w, packed, shape=g.w_shape, groups=g.groups, turned=g.turned)
    return found


def rows(
    choice: Choice,
    g: Geometry,
    x: Map,
    r: Map | None,
    y: Map,
    packed: Any,
    bias: Any,
    numbers: dict[str, Any],
) -> list[Row]:
    """Return the rows that compute a convolution with what it does on the way out."""
    found: list[Row]
    tail: dict[str, Any] = {"activation": numbers["activation"]}
    if r is not None:
        tail |= {"residual": r, "residual_first": numbers["residual"] == "before"}
    if numbers["pool"]:
        tail["pool"] = True
    if choice.name == "winograd":
        return list(winograd.conv2d(x, y, packed, bias, **dict(choice.options), **tail))
    tail |= {"size": g.size, "stride": g.stride, "padding": g.padding, "dilation": g.dilation}
    if choice.name == "bf16":
        found = bf16.conv2d(x, y, packed, bias, **tail)
    elif choice.name == "first":
        found = first.conv2d(x, y, packed, bias, **tail)
    elif choice.name == "depthwise":
        found = depthwise.conv2d(x, y, packed, bias, **tail)
    elif choice.name == "bf16 depthwise":
        found = bf16.depthwise(x, y, packed, bias, **tail)
    else:
        found = direct.conv2d(x, y, packed, bias, groups=g.groups, **tail)
    return found


def floats(op: Op) -> int:
    """Return how many float32 the packed weights and biases take that an op is given anew."""
    bias = op.numbers.get("bias")
    return math.prod(_shape(op)) + (0 if bias is None else BLOCK * -(-len(bias) // BLOCK))


def unpacked(op: Op, flat: NDArray[np.float32]) -> tuple[Any, Any]:
    """Return packed weights, and biases or None, that lie in an array of `floats`."""
    shape = _shape(op)
    count = math.prod(shape)
    return flat[:count].reshape(shape), flat[count:] if len(flat) > count else None


def repack(op: Op, flat: NDArray[np.float32]) -> list[Row]:
    """Return the rows that fill an array of `floats` with an op's weights and biases."""
    packed, biases = unpacked(op, flat)
    w, bias = op.numbers["w"], op.numbers.get("bias")
    if op.kind == "convolve":
        rows = pack(op.choice, geometry(op), w.ctypes.data, packed)
    elif alone(op):
        rows = depthwise.pack(w.ctypes.data, packed, shape=w.shape)
    else:
        groups = op.numbers["groups"]
        rows = packing.pack(w.ctypes.data, packed, shape=w.shape, groups=groups, turned=True)
    if bias is not None:
        own = biases.reshape(-1, 1, 1, 1, BLOCK)
        rows = [*rows, *first.pack(bias.ctypes.data, own, shape=(len(bias), 1, 1, 1))]
    return rows


def _shape(op: Op) -> tuple[int, ...]:
    w = op.numbers["w"]
    found: tuple[int, ...]
    if op.kind == "convolve":
        found = packed_shape(op.choice, geometry(op))
    elif alone(op):
        found = depthwise.packed_shape(w.shape)
    else:
        found = packing.packed_shape(w.shape, op.numbers["groups"], turned=True)
    return found
