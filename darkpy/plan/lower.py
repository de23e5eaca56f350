"""From ops to rows of the engine: which layout an op reads and writes, and what computes it.

An op without a row here is run by the eager kernels, on planar maps; `show` says which those are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..kernels.cpu.engine import bf16, elementwise, head, layout, pool
from ..kernels.cpu.engine import upsample as up
from ..kernels.cpu.engine.records import Map, Row
from . import chain, convolve, vectors
from .trace import Op, Value

Sides = tuple[int, int, int, int]


@dataclass(frozen=True)
class Lowering:
    """How the engine computes a kind of op.

    rows    (op, maps of the inputs..., maps of the outputs...) -> rows
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


def layouts(op: Op) -> tuple[bool, bool]:
    """Return whether an op reads planar maps, and whether it writes them."""
    found = lowering(op)
    if found is None:
        return True, True
    if op.kind == "convolve" and is_first(op):
        return True, False
    return found.reads, found.writes


def laid_out(op: Op) -> bool:
    """Return whether what an op reads and writes lies as its kernel wants it."""
    reads, writes = layouts(op)
    return all(one.root.planar == reads for one in op.inputs) and all(
        one.root.planar == writes for one in op.outputs
    )


def margin(op: Op) -> Iterator[tuple[Value, Sides]]:
    """Yield the zeros that an op needs around what it reads: (Value, (top, left, bottom,
    right))."""
    if op.kind == "convolve" and lowering(op) is not None and laid_out(op):
        yield op.inputs[0], convolve.geometry(op).margin
    if op.kind == "chain" and laid_out(op):
        yield op.inputs[0], convolve.geometry(op.numbers["parts"][0]).margin


def is_first(op: Op) -> bool:
    """Return whether a convolution reads a planar map: the network's input."""
    x = op.inputs[0]
    return x.root.planar and x.shape[1] <= convolve.FIRST and op.numbers["groups"] == 1


def _maps(op: Op) -> bool:
    return all(one.ndim == 4 for one in (*op.inputs, *op.outputs))


def _flat(op: Op) -> bool:
    return _maps(op) and all(isinstance(one, Value) for one in op.args)


def _same(op: Op) -> bool:
    return _flat(op) and all(one.shape == op.output.shape for one in op.inputs)


def _convolve(op: Op, x: Map, *maps: Map) -> list[Row]:
    *rest, y = maps
    r = rest[0] if op.numbers["residual"] != "none" else None
    g = convolve.geometry(op)
    packed, bias = op.numbers["packed"]
    return convolve.rows(op.choice, g, x, r, y, packed, bias, op.numbers)


def _activation(op: Op) -> dict[str, Any]:
    return {"activation": op.numbers.get("activation", "linear")}


def _multiplies(op: Op) -> bool:
    y = op.output.shape
    each = [y, (*y[:2], 1, 1)]
    return _flat(op) and len(op.inputs) == 2 and all(one.shape in each for one in op.inputs)


LOWERINGS: dict[str, Lowering] = {
    "convolve": Lowering(_convolve, able=_maps),
    "chain": Lowering(chain.rows, able=_maps),
    "copy": Lowering(lambda op, x, y: elementwise.copy(x, y), able=_same),
    "add": Lowering(lambda op, *maps: elementwise.add(*maps, **_activation(op)), able=_same),
    "activate": Lowering(
        lambda op, x, y: elementwise.activate(x, y, op.args[1]),
        able=lambda op: _maps(op) and elementwise_row(op.args[1]),
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
    "to_blocked": Lowering(lambda op, x, y: layout.to_blocked(x, y), reads=True),
    "to_planar": Lowering(lambda op, x, y: layout.to_planar(x, y), writes=True),
}

HALVES: dict[str, Lowering] = {  # on bf16
    "convolve": Lowering(_convolve, able=lambda op: _maps(op) and op.numbers["groups"] == 1),
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
