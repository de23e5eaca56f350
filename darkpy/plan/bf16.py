"""Plans that compute with bf16: maps and weights of 16 bits, sums and heads of float32."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DeviceError, nearest
from ..kernels.cpu.engine import bf16, target
from .chain import fuse_chains
from .lower import HALVES
from .passes import Pass
from .trace import Op, Program, Value

PRECISIONS = ("fp32", "bf16")
ON_GPU = ("fp32", "tf32", "fp16", "bf16")
VECTORS = ("avx512bf16", "amx-bf16", "avx512f", "avx2", "avx", "sse4.2", "neon")


def default_precision(device: str, strict: bool = False) -> str:
    """Return the precision of who asks for none: 16 bits on a GPU, unless it must be exact."""
    return "fp16" if device.startswith("cuda") and not strict else "fp32"


def require(precision: str, strict: bool = False, device: str = "cpu") -> None:
    """Raise DeviceError for a precision that there is not, or not on this device, or not exact.

    strict  whether only what is as exact as direct sums in float32 will do
    """
    on_gpu = device.startswith("cuda")
    if precision not in ON_GPU:
        hint = nearest(str(precision), ON_GPU)
        known = ", ".join(map(repr, ON_GPU[:-1]))
        raise DeviceError(f"precision {precision!r}: expected {known} or {ON_GPU[-1]!r}{hint}")
    if precision != "fp32" and strict:
        raise DeviceError(f"precision {precision!r}: strict arithmetic takes precision 'fp32'")
    if not on_gpu and precision not in (PRECISIONS if device == "cpu" else ("fp32",)):
        here = "'fp32' or 'bf16'" if device == "cpu" else "'fp32'"
        raise DeviceError(f"precision {precision!r}: expected {here} on device {device!r}")
    if precision == "bf16" and not on_gpu and bf16.available() is None:
        raise DeviceError(
            "precision 'bf16': expected a processor with AVX512-BF16; this one, "
            f"{target.host().cpu}, has {vectors()}; use precision 'fp32'"
        )


def vectors() -> str:
    """Return what vector instructions this processor has, as words."""
    features = target.host().features.split(",")
    has = [name for name in VECTORS if f"+{name}" in features]
    return ", ".join(has) or "no vector instructions that are known"


def bf16_passes(passes: Sequence[Pass]) -> list[Pass]:
    """Return the passes of a plan with bf16: chains are of float32 alone, and maps are narrowed."""
    return [*(one for one in passes if one is not fuse_chains), narrow]


def narrow(program: Program) -> None:
    """Lay blocked maps out as bf16 where an op that writes them, and one that reads them, can.

    Maps that others read or write are converted. A convolution over all channels writes float32
    itself, but for what it pools or adds to.
    """
    for root in _roots(program):
        root.half = True
    ops: list[Op] = []
    converted: dict[tuple[int, bool], Value] = {}
    for op in program.ops:
        half = _halves(op)
        for i, one in enumerate(op.args):
            if isinstance(one, Value) and not one.root.planar and one.root.half != half:
                key = (id(one), half)
                if key not in converted:
                    converted[key] = _like(one, half)
                    ops.append(_conversion(one, converted[key], op.node))
                op.args[i] = converted[key]
        ops.append(op)
        for i, one in enumerate(op.outputs):
            if not one.root.planar and one.root.half != half and not (half and _widens(op)):
                op.outputs[i] = _like(one, half)
                ops.append(_conversion(op.outputs[i], one, op.node))
    program.ops = ops


def _roots(program: Program) -> list[Value]:
    """Return the blocked maps that are to be bf16: all their parts are whole blocks of 32."""
    values = list(program.values())
    uneven = {id(one.root) for one in values if one.channel % bf16.BLOCK}
    able = [op for op in program.ops if _able(op)]
    written = {id(one.root) for op in able for one in op.outputs}
    read = {id(one.root) for op in able for one in op.inputs}
    wanted = (written & read) - uneven
    return [one for one in values if one.base is None and not one.planar and id(one) in wanted]


def _able(op: Op) -> bool:
    """Return whether there is a kernel for an op on bf16."""
    found = HALVES.get(op.kind)
    if found is None or not found.able(op):
        return False
    return not op.inputs[0].root.planar or (
        op.kind == "convolve"
        and op.inputs[0].shape[1] <= bf16.NARROW
        and op.numbers["dilation"] == 1
    )


def _halves(op: Op) -> bool:
    """Return whether an op is to compute with bf16."""
    if not _able(op):
        return False
    return op.output.root.half or (_sums(op) and not op.inputs[0].root.planar)


def _widens(op: Op) -> bool:
    """Return whether an op on bf16 writes float32 as well."""
    return _sums(op) and op.numbers["residual"] == "none" and not op.numbers["pool"]


def _sums(op: Op) -> bool:
    """Return whether an op is a convolution over all channels."""
    return op.kind == "convolve" and op.numbers["groups"] == 1


def _like(value: Value, half: bool) -> Value:
    return Value(value.shape, planar=False, half=half)


def _conversion(value: Value, to: Value, node: int) -> Op:
    return Op("round" if to.root.half else "widen", [value], {}, [to], node)
