"""From ops to rows of the engine: which layout an op reads and writes, and what computes it.

An op without a row here is run by the eager kernels, on planar maps; `show` says which those are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..kernels.cpu.engine import (
    backward,
    bf16,
    depthwise,
    elementwise,
    gradient,
    head,
    layout,
    normalize,
    pool,
)
from ..kernels.cpu.engine import upsample as up
from ..kernels.cpu.engine.records import Map, Row
from . import chain, convolve, vectors
from .trace import Op, Value

Sides = tuple[int, int, int, int]


@dataclass(frozen=True)
class Lowering:
    """How the engine computes a kind of op.

    rows    (op, maps of the inputs..., maps of the outputs...) -> rows; an array stands for what is
            no map
    reads, writes  whether it reads and writes planar maps
    able    whether it can compute this op; what it cannot is left to the eager kernels
    """

    rows: Callable[..., list[Row]]
    reads: bool = False
    writes: bool = False
    able: Callable[[Op], bool] = lambda op: True


def lowering(op: Op) -> Lowering | None:
    """Return how the engine computes an op, or None."""
    halves = any(one.root.half for one in (*op.inputs, *op.outputs))
    found = (HALVES if halves else LOWERINGS).get(op.kind)
    return found if found and found.able(op) else None


def layouts(op: Op) -> tuple[list[bool], list[bool]]:
    """Return, of each map that an op reads, and of each that it writes, whether it is planar.

    What is no map counts as planar.
    """
    found = lowering(op)
    reads, writes = (found.reads, found.writes) if found else (True, True)
    first = {id(one) for one in op.inputs if found and _reads_image(op, one)}
    return (
        [reads or one.ndim != 4 or id(one) in first for one in op.inputs],
        [writes or one.ndim != 4 for one in op.outputs],
    )


def laid_out(op: Op) -> bool:
    """Return whether what an op reads and writes lies as its kernel wants it."""
    values = (op.inputs, op.outputs)
    return all(
        one.ndim != 4 or one.root.planar == planar
        for side, wanted in zip(values, layouts(op), strict=True)
        for one, planar in zip(side, wanted, strict=True)
    )


def margin(op: Op) -> Iterator[tuple[Value, Sides]]:
    """Yield the zeros that an op needs around what it reads: (Value, (top, left, bottom,
    right))."""
    if lowering(op) is None or not laid_out(op):
        return
    if op.kind == "convolve":
        yield op.inputs[0], convolve.geometry(op).margin
    elif op.kind == "chain":
        yield op.inputs[0], convolve.geometry(op.numbers["parts"][0]).margin
    elif op.kind == "conv2d_weight_grad":
        dy, x = op.inputs
        keys = _keys(op, "size", "stride", "padding", "dilation")
        yield x, convolve.reach(x.shape, dy.shape, **keys)
    elif op.kind == "input_grad":
        given, asked = op.inputs[0].shape[2:], op.output.shape[2:]
        keys = {"size": op.numbers["w"].shape[2], **_keys(op, "stride", "padding", "dilation")}
        if convolve.alone(op):
            yield op.inputs[0], depthwise.input_grad_border(given, asked, **keys)
        else:
            yield op.inputs[0], backward.border(asked, given, **keys)


def _reads_image(op: Op, x: Value) -> bool:
    """Return whether x is what a network's first convolution, or its gradient, reads as it is."""
    if op.kind == "convolve":
        own = x is op.inputs[0] and not op.numbers.get("turned", False)
    else:
        own = op.kind == "conv2d_weight_grad" and x is op.inputs[1]
    few = own and x.ndim == 4 and x.shape[1] <= convolve.FIRST
    return few and x.root.planar and op.numbers["groups"] == 1


def _keys(op: Op, *names: str) -> dict[str, Any]:
    return {name: op.numbers[name] for name in names}


def _maps(op: Op) -> bool:
    return all(one.ndim == 4 for one in (*op.inputs, *op.outputs))


def _flat(op: Op) -> bool:
    return _maps(op) and all(isinstance(one, Value) for one in op.args)


def _same(op: Op) -> bool:
    return _flat(op) and all(one.shape == op.output.shape for one in op.inputs)


def _convolve(op: Op, x: Map, *maps: Any) -> list[Row]:
    *rest, y = maps
    r = rest[0] if op.numbers["residual"] != "none" else None
    g = convolve.geometry(op)
    packed, bias = convolve.unpacked(op, rest[-1]) if packs(op) else op.numbers["packed"]
    return convolve.rows(op.choice, g, x, r, y, packed, bias, op.numbers)


def _halves(op: Op) -> bool:
    if not _maps(op) or op.numbers["groups"] == 1:
        return _maps(op)
    return convolve.is_depthwise(convolve.geometry(op)) and not op.numbers["pool"]


def packs(op: Op) -> bool:
    """Return whether an op is given its weights anew in every run, packed by an op before it."""
    return any(one.ndim != 4 for one in op.inputs[1:])


def _weight_grad(op: Op, dy: Map, x: Map, dw: Map) -> list[Row]:
    keys = _keys(op, "size", "stride", "padding", "dilation")
    if convolve.alone(op):
        return list(depthwise.weight_grad(dy, x, dw.address, **keys))
    groups = op.numbers["groups"]
    return list(gradient.weight_grad(dy, x, dw.address, groups=groups, **keys))


def _input_grad(op: Op, dy: Map, flat: Any, dx: Map) -> list[Row]:
    packed, _ = convolve.unpacked(op, flat)
    keys = {"size": op.numbers["w"].shape[2], **_keys(op, "stride", "padding", "dilation")}
    if convolve.alone(op):
        return list(depthwise.input_grad(dy, dx, packed, **keys))
    return list(backward.input_grad(dy, dx, packed, groups=op.numbers["groups"], **keys))


def _normalize(op: Op, y: Map, out: Map, *statistics: Any) -> list[Row]:
    mean, variance = (one.ctypes.data for one in statistics)
    return [
        *normalize.statistics(y, mean, variance),
        *normalize.normalize(y, out, mean, variance, *_affine(op), **_tail(op)),
    ]


def _batchnorm(op: Op, y: Map, out: Map) -> list[Row]:
    scales, biases, mean, variance = (one.ctypes.data for one in op.args[1:])
    known = (mean, variance, scales, biases)
    return list(normalize.normalize(y, out, *known, **_activation(op)))


def _normalize_grad(
    op: Op, dout: Map, y: Map, mean: Any, variance: Any, dy: Map, dscales: Any, dbiases: Any
) -> list[Row]:
    places = (one.ctypes.data for one in (mean, variance))
    grads = (one.ctypes.data for one in (dscales, dbiases))
    return list(normalize.normalize_grad(dout, y, dy, *places, *_affine(op), *grads, **_tail(op)))


def _tail(op: Op) -> dict[str, Any]:
    return {"activation": op.numbers["activation"], "pool": op.numbers["pool"]}


def _affine(op: Op) -> tuple[int, int]:
    return op.numbers["scales"].ctypes.data, op.numbers["biases"].ctypes.data


def _concat(op: Op, *maps: Map) -> list[Row]:
    *xs, y = maps
    rows: list[Row] = elementwise.clear_rest(y)
    start = 0
    for x in xs:
        rows += elementwise.copy(x, y, y_start=start)
        start += x.c
    return rows


def _concat_grad(op: Op, dy: Map, *parts: Map) -> list[Row]:
    rows, start = [], 0
    for part in parts:
        rows += [*elementwise.clear_rest(part)]
        rows += elementwise.copy(dy, part, x_start=start, count=part.c)
        start += part.c
    return rows


def _channels(op: Op, x: Map, y: Map) -> list[Row]:
    rows = elementwise.copy(x, y, x_start=op.numbers["start"], count=y.c)
    return [*elementwise.clear_rest(y), *rows]


def _channels_grad(op: Op, dy: Map, dx: Map) -> list[Row]:
    return [*elementwise.fill(dx), *elementwise.copy(dy, dx, y_start=op.numbers["start"])]


def _multiply_grad(op: Op, dy: Map, x: Map, by: Map, dx: Map, dby: Map) -> list[Row]:
    if (by.h, by.w) == (x.h, x.w):
        return [*elementwise.multiply(dy, by, dx), *elementwise.multiply(dy, x, dby)]
    if (x.h, x.w) == (1, 1):
        x, by, dx, dby = by, x, dby, dx
    return [*elementwise.multiply(dy, by, dx), *elementwise.multiply_grad(dy, x, dby)]


def _activation(op: Op) -> dict[str, Any]:
    return {"activation": op.numbers.get("activation", "linear")}


def _multiplies(op: Op) -> bool:
    return _flat(op) and _multiplies_each(op.output.shape, op.inputs)


def _factors(op: Op) -> bool:
    return _flat(op) and _multiplies_each(op.inputs[0].shape, op.inputs[1:])


def _multiplies_each(y: tuple[int, ...], inputs: list[Value]) -> bool:
    each = [y, (*y[:2], 1, 1)]
    return len(inputs) == 2 and all(one.shape in each for one in inputs)


LOWERINGS: dict[str, Lowering] = {
    "convolve": Lowering(_convolve, able=lambda op: _maps(op) or packs(op)),
    "chain": Lowering(chain.rows, able=_maps),
    "copy": Lowering(lambda op, x, y: elementwise.copy(x, y), able=_same),
    "add": Lowering(lambda op, *maps: elementwise.add(*maps, **_activation(op)), able=_same),
    "activate": Lowering(
        lambda op, x, y: elementwise.activate(x, y, op.args[1]),
        able=lambda op: len(op.inputs) == 1 and _maps(op) and elementwise_row(op.args[1]),
    ),
    "multiply": Lowering(
        lambda op, x, by, y: elementwise.multiply(x, by, y, **_activation(op)),
        able=_multiplies,
    ),
    "maxpool": Lowering(lambda op, x, y: pool.maxpool(x, y, **op.numbers), able=_flat),
    "avgpool": Lowering(lambda op, x, y: pool.avgpool(x, y), able=_flat),
    "upsample": Lowering(lambda op, x, y: up.upsample(x, y, **op.numbers), able=_flat),
    "yolo": Lowering(lambda op, x, y: head.yolo(x, y, **op.numbers), writes=True, able=_flat),
    "gaussian_yolo": Lowering(
        lambda op, x, y: head.gaussian_yolo(x, y, **op.numbers), writes=True, able=_flat
    ),
    "region": Lowering(lambda op, x, y: head.region(x, y, **op.numbers), writes=True, able=_flat),
    "connect": Lowering(vectors.connect, able=_maps),
    "softmax": Lowering(
        vectors.softmax, writes=True, able=lambda op: _maps(op) and op.numbers["counts"] is not None
    ),
    "shortcut": Lowering(vectors.shortcut, able=vectors.stepped),
    "zeros_like": Lowering(lambda op, x, y: elementwise.fill(y), able=_flat),
    **{
        kind: Lowering(lambda op, x, y: getattr(layout, op.kind)(x, y, **op.numbers), able=_flat)
        for kind in ("reorg", "reorg_inverse", "space_to_depth", "depth_to_space")
    },
    "take": Lowering(lambda op, y: layout.take(op.numbers["name"], y), writes=True),
    "normalize": Lowering(_normalize),
    "normalize_grad": Lowering(_normalize_grad),
    "batchnorm": Lowering(_batchnorm, able=lambda op: _maps(op) and len(op.inputs) == 1),
    "roll_average": Lowering(
        lambda op, batch: normalize.roll_average(
            op.args[0].ctypes.data, batch.ctypes.data, batch.size
        ),
    ),
    "bias_grad": Lowering(
        lambda op, dy, db: normalize.bias_grad(dy, None, None, db.ctypes.data, activation="linear"),
        able=lambda op: op.inputs[0].ndim == 4,
    ),
    "activate_grad": Lowering(
        lambda op, dy, z, dz: elementwise.activate_grad(dy, z, dz, op.args[2]),
        able=lambda op: len(op.inputs) == 2 and _maps(op) and elementwise_row(op.args[2]),
    ),
    "conv2d_weight_grad": Lowering(_weight_grad, writes=True, able=_flat),
    "input_grad": Lowering(_input_grad, able=lambda op: _maps(op) or packs(op)),
    "pack": Lowering(lambda op, packed: convolve.repack(op.numbers["of"], packed)),
    "concat": Lowering(_concat, able=_flat),
    "concat_grad": Lowering(_concat_grad, able=_flat),
    "channels": Lowering(_channels, able=_flat),
    "channels_grad": Lowering(_channels_grad, able=_flat),
    "multiply_grad": Lowering(_multiply_grad, able=_factors),
    "maxpool_grad": Lowering(
        lambda op, dy, x, y, dx: pool.maxpool_grad(dy, x, y, dx, **op.numbers), able=_flat
    ),
    "avgpool_grad": Lowering(lambda op, dy, dx: pool.avgpool_grad(dy, dx), able=_flat),
    "upsample_grad": Lowering(
        lambda op, dy, dx: up.upsample_grad(dy, dx, **op.numbers), able=_flat
    ),
    "to_blocked": Lowering(lambda op, x, y: layout.to_blocked(x, y), reads=True),
    "to_planar": Lowering(lambda op, x, y: layout.to_planar(x, y), writes=True),
}

HALVES: dict[str, Lowering] = {  # on bf16
    "convolve": Lowering(_convolve, able=_halves),
    "copy": LOWERINGS["copy"],
    "add": Lowering(
        lambda op, *maps: bf16.add(*maps, **_activation(op)),
        able=lambda op: _same(op) and len(op.inputs) == 2,
    ),
    "maxpool": Lowering(lambda op, x, y: bf16.maxpool(x, y, **op.numbers), able=_flat),
    "upsample": Lowering(
        lambda op, x, y: up.upsample(x, y, **op.numbers),
        able=lambda op: _flat(op) and op.numbers["scale"] == 1,
    ),
    "round": Lowering(lambda op, x, y: bf16.convert(x, y)),
    "widen": Lowering(lambda op, x, y: bf16.convert(x, y)),
}


def elementwise_row(name: str) -> bool:
    """Return whether an activation acts on each number alone."""
    from ..kernels.common.activations import ACTIVATIONS

    return not ACTIVATIONS[name].over_channels
