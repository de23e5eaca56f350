"""From ops to launches: most are kernels of their own name; here are those that need weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ...errors import DeviceError
from ...kernels import launchers
from ...kernels.cuda.conv2d import way
from ...kernels.cuda.convolve import chosen
from ...kernels.cuda.depthwise import depthwise, pack_taps, tap_count
from ...kernels.cuda.device import Device, Launch
from ...kernels.cuda.grouped import band_count, grouped, pack_bands
from ...kernels.cuda.linear import as_window
from ...kernels.cuda.packing import pack
from ..fused import turned
from ..trace import Draw, Op, Program, Value


class Bench(Protocol):
    """What ops are lowered for: a device, and where things are there.

    precision  of products: "fp32", "tf32", "fp16" or "bf16"
    type       how maps are stored: "float", "half" or "bf16"
    program    what the ops belong to
    learns     weights change from run to run: they are packed anew in each
    """

    device: Device
    precision: str
    type: str
    program: Program
    learns: bool

    def at(self, value: Value) -> Any:
        """Return the Map, or the array, of a Value."""

    def given(self, array: Any) -> Any:
        """Return the device's copy of an array of the host."""

    def once(self, array: Any) -> Any:
        """Return a copy on the device of an array that nobody else asks for; it is not kept."""

    def packed(self, w: Any, groups: int, turned: bool) -> Any:
        """Return where weights lie packed: those that learn are packed anew in every run."""

    def draws(self, op: Op) -> Any:
        """Return what stands for a generator of random numbers (kernels/cuda/dropout.py)."""

    def input(self, name: Any) -> Any:
        """Return the array that an input is written to."""


cuda = launchers()
# Ops of tensor cores that have no lowering below: of weights that other ops give, and matrices.
PRODUCTS = frozenset(
    ("conv2d", "conv2d_input_grad", "linear", "linear_input_grad", "linear_weight_grad")
)
Lower = Callable[[Bench, Op], list[Launch]]


def launches(bench: Bench, op: Op) -> list[Launch]:
    """Return the launches of an op; DeviceError if there is no kernel for it."""
    own = LOWERINGS.get(op.kind)
    if own is not None:
        return own(bench, op)
    kernel = getattr(cuda, op.kind, None)
    if kernel is None:
        nodes = bench.program.network.nodes
        where = nodes[op.node].where if op.node >= 0 else bench.program.network.path
        raise DeviceError(f"{where}: no CUDA kernel computes {op.kind!r}; use device 'cpu'")
    outs = [bench.at(one) for one in op.outputs]
    numbers = {key: _placed(bench, one) for key, one in op.numbers.items()}
    numbers |= {"precision": bench.precision} if op.kind in PRODUCTS else {}
    args = [bench.draws(op) if isinstance(one, Draw) else _placed(bench, one) for one in op.args]
    out = outs[:1] if len(outs) == 1 else [tuple(outs)] if outs else []
    found: list[Launch] = kernel(bench.device, *out, *args, **numbers)
    return found


def _placed(bench: Bench, one: Any) -> Any:
    """Return an argument as a kernel takes it."""
    if isinstance(one, Value):
        return bench.at(one)
    return bench.given(one) if isinstance(one, np.ndarray) else one


def _take(bench: Bench, op: Op) -> list[Launch]:
    found: list[Launch] = cuda.to_map(
        bench.device, bench.at(op.output), bench.input(op.numbers["name"])
    )
    return found


def _convolve(bench: Bench, op: Op) -> list[Launch]:
    """Fold the scale into the weights, pack them, convolve."""
    n, bias = op.numbers, op.numbers["bias"]
    w = n["w"] if n["scale"] is None else n["w"] * n["scale"][:, None, None, None]
    w = turned(w, n["groups"]) if n.get("turned") else w
    x, y = bench.at(op.inputs[0]), bench.at(op.outputs[0])
    residual = bench.at(op.inputs[1]) if n["residual"] != "none" else None
    give = bench.given if bench.learns else bench.once
    bias = None if bias is None else give(bias)
    how = {key: n[key] for key in ("stride", "padding", "dilation", "activation")}
    how["size"] = w.shape[2]
    kind = way(x, y.c, n["groups"])
    device = bench.device
    if kind == "dense":
        how |= {"groups": n["groups"], "repeat": n.get("repeat", 1), "precision": bench.precision}
        packed = _packed(bench, w, x.type, n["groups"])
        first = n["residual"] == "before"
        if len(op.outputs) > 1:
            how["partials"] = bench.at(op.outputs[1])
        found: list[Launch] = cuda.convolve(
            device, y, x, packed, bias, residual, residual_first=first, **how
        )
        return found
    how["residual"] = n["residual"] if residual else None
    if kind == "depthwise":
        packed = device.empty(tap_count(x, w.shape[2]), np.float32)
        launches = pack_taps(device, packed, give(w), x=x, size=w.shape[2])
        own = depthwise(device, y, x, packed, bias, residual, **how)
    else:
        packed = device.empty(band_count(y, x, n["groups"], w.shape[2]), np.float32)
        launches = pack_bands(device, packed, give(w), y=y, x=x, groups=n["groups"])
        own = grouped(device, y, x, packed, bias, residual, groups=n["groups"], **how)
    return [*_before(bench, launches), *own]


def _connect(bench: Bench, op: Op) -> list[Launch]:
    """Fold the scale into the matrix, pack it, multiply: of an inference."""
    n, bias = op.numbers, op.numbers["bias"]
    w = n["w"] if n["scale"] is None else n["w"] * n["scale"][:, None]
    x, y = bench.at(op.inputs[0]), bench.at(op.output)
    packed = bench.once(pack(as_window(w, x), x.type))
    bias = None if bias is None else bench.once(bias)
    how = {"activation": n["activation"], "precision": bench.precision}
    found: list[Launch] = cuda.connect(bench.device, y, x, packed, bias, **how)
    return found


def _normalize(bench: Bench, op: Op) -> list[Launch]:
    """Take the statistics from the convolution before, where it has summed them."""
    y, *partials = op.inputs
    keys = {key: _placed(bench, one) for key, one in op.numbers.items()}
    if partials:
        conv = bench.program.writer(y)
        assert conv is not None
        given = bench.at(conv.inputs[0])
        size, x = conv.numbers["w"].shape[2], bench.at(y)
        tile, _ = chosen(bench.device, x, given, size=size, precision=bench.precision)
        keys |= {"partials": bench.at(partials[0]), "rows_per_block": tile.pixels}
        count = -(-x.pixels // tile.pixels) * 2 * x.c
        keys["partials"] = keys["partials"][:count]
    outs = tuple(bench.at(one) for one in op.outputs)
    found: list[Launch] = cuda.normalize(bench.device, outs, bench.at(y), **keys)
    return found


def _input_grad(bench: Bench, op: Op) -> list[Launch]:
    n = {key: one for key, one in op.numbers.items() if key not in ("w", "shape")}
    w = op.numbers["w"]
    dx, dy, *known = map(bench.at, (op.output, *op.inputs))
    found: list[Launch]
    if way(dx, dy.c, n["groups"]) != "dense":
        numbers = {key: one for key, one in op.numbers.items() if key != "w"}
        found = cuda.conv2d_input_grad(bench.device, dx, dy, bench.given(w), **numbers)
        return found
    packed = _packed(bench, w, dy.type, n["groups"], turned=True)
    how = {"size": w.shape[2], "precision": bench.precision}
    found = cuda.input_grad(bench.device, dx, dy, packed, *known, **how, **n)
    return found


def _weight_grad(bench: Bench, op: Op) -> list[Launch]:
    dw, dy, x = map(bench.at, (op.output, *op.inputs))
    found: list[Launch] = cuda.conv2d_weight_grad(
        bench.device, dw, dy, x, precision=bench.precision, **op.numbers
    )
    return found


def _packed(bench: Bench, w: Any, type_: str, groups: int, turned: bool = False) -> Any:
    """Return weights as tensor cores read them; those that learn are packed before all else."""
    if bench.learns:
        assert type_ == bench.type, (type_, bench.type)
        return bench.packed(w, groups, turned)
    return bench.once(pack(w, type_, groups, turned))


def _before(bench: Bench, launches: list[Launch]) -> list[Launch]:
    """Return launches that prepare weights: to be run in every step, or now, once for all."""
    if bench.learns:
        return launches
    bench.device.run(launches)
    return []


def _drawn(bench: Bench, op: Op) -> list[Launch]:
    """Launch nothing: the host draws before each step, as the processor does."""
    return []


DRAWN = frozenset(("crop_places",))  # on the host, whatever the device
LOWERINGS: dict[str, Lower] = {
    "take": _take,
    "convolve": _convolve,
    "connect": _connect,
    "normalize": _normalize,
    "input_grad": _input_grad,
    "conv2d_weight_grad": _weight_grad,
    **dict.fromkeys(DRAWN, _drawn),
}
