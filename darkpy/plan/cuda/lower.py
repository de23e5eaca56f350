"""From ops to launches: most are kernels of their own name; here are those that need weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ...errors import DeviceError
from ...kernels import cuda
from ...kernels.cuda.device import Device, Launch, Map
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
    n = op.numbers
    w, scale, bias = n["w"], n["scale"], n["bias"]
    w = w if scale is None else w * scale[:, None, None, None]
    w = turned(w, n["groups"]) if n.get("turned") else w
    x = bench.at(op.inputs[0])
    residual = bench.at(op.inputs[1]) if n["residual"] != "none" else None
    found: list[Launch] = cuda.convolve(
        bench.device,
        bench.at(op.output),
        x,
        bench.given(pack(w, x.type, n["groups"])),
        None if bias is None else bench.given(np.ascontiguousarray(bias, np.float32)),
        residual,
        size=w.shape[2],
        stride=n["stride"],
        padding=n["padding"],
        dilation=n["dilation"],
        groups=n["groups"],
        activation=n["activation"],
        residual_first=n["residual"] == "before",
        repeat=n.get("repeat", 1),
        precision=bench.precision,
    )
    return found


LOWERINGS: dict[str, Lower] = {"take": _take, "convolve": _convolve}
