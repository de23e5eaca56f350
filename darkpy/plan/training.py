"""Passes over a step of training: forward, back, and nothing stored that can be made anew."""

from __future__ import annotations

from .passes import Pass, _absorb, _replace, elide_route
from .trace import Program, Value

BLOCK = 16


def drop_identities(program: Program) -> None:
    """Take out activations that change nothing, and their gradients."""
    for op in list(program.ops):
        if op.kind == "activate" and op.args[1] == "linear":
            _replace(program, op.output, op.inputs[0])
            program.ops.remove(op)
        elif op.kind == "activate_grad" and op.args[2] == "linear":
            _replace(program, op.output, op.inputs[0])
            program.ops.remove(op)


def defer_statistics(program: Program) -> None:
    """Move rolling averages to the end of the way forward."""
    moved = [op for op in program.ops if op.kind == "roll_average"]
    rest = [op for op in program.ops if op.kind != "roll_average"]
    forward = [op for op in rest if not op.back]
    program.ops = [*forward, *moved, *(op for op in rest if op.back)]


def fuse_normalize(program: Program) -> None:
    """Make statistics, batch norm and activation one op, and so their gradients.

    ``normalize`` gives the activated map, mean and variance; ``normalize_grad`` makes what went
    into
    the activation anew, so that it is not kept.
    """
    for norm in [op for op in program.ops if op.kind == "batchnorm"]:
        y, scales, biases, mean, variance = norm.args
        statistics = program.writer(mean) if isinstance(mean, Value) else None
        if statistics is None or statistics.kind != "batch_statistics":
            continue
        readers = program.readers(norm.output)
        act = next((op for op in readers if op.kind == "activate"), None)
        slope = next((op for op in readers if op.kind == "activate_grad"), None)
        name = act.args[1] if act else "linear"
        if act and (slope is None or len(readers) != 2 or not _elementwise(name)):
            continue
        grads = [op for op in program.readers(y) if op.kind == "batchnorm_grad" and op.args[1] is y]
        if len(grads) != 1 or (slope and grads[0].args[0] is not slope.output):
            continue
        (grad,) = grads
        norm.kind, norm.args = "normalize", [y]
        norm.numbers = {"scales": scales, "biases": biases, "activation": name}
        norm.outputs = [act.output if act else norm.output, mean, variance]
        program.ops.remove(statistics)
        dout = slope.args[0] if slope else grad.args[0]
        grad.kind, grad.args = "normalize_grad", [dout, y, mean, variance]
        grad.numbers = dict(norm.numbers)
        for one in (act, slope):
            if one is not None:
                program.ops.remove(one)


def fuse_bias(program: Program) -> None:
    """Let a convolution add its bias."""
    for op in [op for op in program.ops if op.kind == "conv2d"]:
        x, w = op.args
        if not isinstance(w, Value):
            op.kind, op.args = "convolve", [x]
            op.numbers |= {
                "w": w,
                "scale": None,
                "bias": None,
                "activation": "linear",
                "residual": "none",
                "pool": False,
            }
            bias = program.sole_reader(op, "bias")
            if bias:
                op.numbers["bias"] = bias.args[1]
                _absorb(program, op, bias)


def elide_gradients(program: Program) -> None:
    """Let the gradients of what a route joined be channels of the gradient of the whole."""
    for op in [op for op in program.ops if op.kind == "concat_grad"]:
        counts = op.numbers["counts"]
        if any(count % BLOCK for count in counts[:-1]):
            continue
        start = 0
        for value, count in zip(op.outputs, counts, strict=True):
            value.base, value.start = op.inputs[0], start
            start += count
        program.ops.remove(op)


def _elementwise(name: str) -> bool:
    from ..kernels.common.activations import ACTIVATIONS

    return not ACTIVATIONS[name].over_channels


PASSES: tuple[Pass, ...] = (
    drop_identities,
    defer_statistics,
    fuse_normalize,
    fuse_bias,
    elide_route,
    elide_gradients,
)
