"""From ops to launches: most are kernels of their own name; here are those that need weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ...errors import DeviceError
from ...kernels import launchers
from ...kernels.cuda.conv2d import way
from ...kernels.cuda.depthwise import depthwise, pack_taps, tap_count
from ...kernels.cuda.device import Device, Launch
from ...kernels.cuda.grouped import band_count, grouped, pack_bands
from ...kernels.cuda.packing import pack
from ..fused import turned
from ..trace import Op, Program, Value


class Bench(Protocol):
    """What ops are lowered for: a device, and where things are there.

    precision  of products: "fp32", "tf32", "fp16" or "bf16"
    type       how maps are stored: "float", "half" or "bf16"
    program    what the ops belong to
    """

    device: Device
    precision: str
    type: str
    program: Program

    def at(self, value: Value) -> Any:
        """Return the Map, or the array, of a Value."""

    def given(self, array: Any) -> Any:
        """Return the device's copy of an array of the host."""

    def input(self, name: Any) -> Any:
        """Return the array that an input is written to."""


cuda = launchers()
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
    args = [_placed(bench, one) for one in op.args]
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
    x, y = bench.at(op.inputs[0]), bench.at(op.output)
    residual = bench.at(op.inputs[1]) if n["residual"] != "none" else None
    bias = None if bias is None else bench.given(np.ascontiguousarray(bias, np.float32))
    how = {key: n[key] for key in ("stride", "padding", "dilation", "activation")}
    how["size"] = w.shape[2]
    kind = way(x, y.c, n["groups"])
    device = bench.device
    found: list[Launch]
    if kind == "dense":
        how |= {"groups": n["groups"], "repeat": n.get("repeat", 1), "precision": bench.precision}
        packed = bench.given(pack(w, x.type, n["groups"]))
        first = n["residual"] == "before"
        found = cuda.convolve(device, y, x, packed, bias, residual, residual_first=first, **how)
        return found
    how["residual"] = n["residual"] if residual else None
    if kind == "depthwise":
        taps = device.empty(tap_count(x, w.shape[2]), np.float32)
        device.run(pack_taps(device, taps, device.upload(w), x=x, size=w.shape[2]))
        found = depthwise(device, y, x, taps, bias, residual, **how)
        return found
    bands = device.empty(band_count(y, x, n["groups"], w.shape[2]), np.float32)
    device.run(pack_bands(device, bands, device.upload(w), y=y, x=x, groups=n["groups"]))
    found = grouped(device, y, x, bands, bias, residual, groups=n["groups"], **how)
    return found


LOWERINGS: dict[str, Lower] = {"take": _take, "convolve": _convolve}
