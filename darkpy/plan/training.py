"""Passes over a step of training: forward, back, and nothing stored that can be made anew."""

from __future__ import annotations

from dataclasses import replace

from . import convolve
from .lower import laid_out
from .passes import (
    PLAIN,
    Pass,
    _absorb,
    _replace,
    choose_layout,
    compute_blurs,
    elide_route,
    fuse_activation,
    fuse_shortcut,
)
from .trace import Op, Program, Value

BLOCK = 16


def drop_identities(program: Program) -> None:
    """Take out activations that change nothing, and their gradients."""
    for op in list(program.ops):
        if op.kind == "activate" and op.args[1] == "linear":
            _replace(program, op.output, op.args[0])
            program.ops.remove(op)
        elif op.kind == "activate_grad" and op.args[2] == "linear":
            _replace(program, op.output, op.args[0])
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
    into the activation anew, so that it is not kept. Layers before the one at which the way back
    ends have no gradients.
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
        grads = [op for op in program.readers(y) if op.kind == "batchnorm_grad" and op.args[1] is y]
        grad = grads[0] if grads else None
        if len(grads) > 1 or bool(slope) != bool(act and grad):
            continue
        if act and (len(readers) != 1 + len(grads) or not _elementwise(name)):
            continue
        if slope and grad and grad.args[0] is not slope.output:
            continue
        norm.kind, norm.args = "normalize", [y]
        norm.numbers = {"scales": scales, "biases": biases, "activation": name, "pool": False}
        norm.outputs = [act.output if act else norm.output, mean, variance]
        program.ops.remove(statistics)
        if grad is not None:
            dout = slope.args[0] if slope else grad.args[0]
            grad.kind, grad.args = "normalize_grad", [dout, y, mean, variance]
            grad.numbers = dict(norm.numbers)
        for one in (act, slope):
            if one is not None:
                program.ops.remove(one)


def fuse_pool(program: Program) -> None:
    """Let batch norm write the largest of each 2 x 2 cells alone, where that is all that is read.

    Its gradient finds anew which cell that was, so that the map before the pool is not kept.
    """
    for norm in [op for op in program.ops if op.kind == "normalize"]:
        out = norm.outputs[0]
        readers = program.readers(out)
        if [op.kind for op in readers] != ["maxpool", "maxpool_grad"] or program.is_output(out):
            continue
        pool, back = readers
        after = program.sole_reader(back, "normalize_grad")
        halves = pool.numbers == {"size": 2, "stride": (2, 2), "padding": 1}
        if after is None or not halves or out.shape[2] % 2 or out.shape[3] % 2:
            continue
        norm.outputs[0] = pool.output
        after.args[0] = back.args[0]
        for op in (norm, after):
            op.numbers = {**op.numbers, "pool": True}
        program.ops.remove(pool)
        program.ops.remove(back)


def reuse_maps(program: Program) -> None:
    """Let the gradient of what was normalised lie where that did, which nobody reads after it."""
    for op in [op for op in program.ops if op.kind == "normalize_grad"]:
        y = op.args[1]
        asked = program.is_input(y) or program.is_output(y)
        if program.readers(y)[-1] is op and y.base is None and not asked:
            op.outputs[0].base = y


def fuse_bias(program: Program) -> None:
    """Let a convolution add its bias."""
    for op in [op for op in program.ops if op.kind == "conv2d"]:
        x, w = op.args
        if not isinstance(w, Value):
            op.kind, op.args = "convolve", [x]
            op.numbers |= {"w": w, **PLAIN}
            bias = program.sole_reader(op, "bias")
            if bias:
                op.numbers["bias"] = bias.args[1]
                _absorb(program, op, bias)


def turn_gradients(program: Program) -> None:
    """Make the gradient of a convolution's input one with turned weights, where its stride is 1."""
    for op in [op for op in program.ops if op.kind == "conv2d_input_grad"]:
        dy, w = op.args
        if isinstance(w, Value):
            continue
        op.kind, op.args = "input_grad", [dy]
        padding = op.numbers["dilation"] * (w.shape[2] - 1) - op.numbers["padding"]
        op.numbers |= {"w": w}
        if op.numbers["stride"] == (1, 1) and padding >= 0:
            op.kind = "convolve"
            op.numbers = {**op.numbers, **PLAIN, "padding": padding, "turned": True}
            del op.numbers["shape"]


def elide_gradients(program: Program) -> None:
    """Let the gradients of what a route joined be channels of the gradient of the whole."""
    for op in [op for op in program.ops if op.kind == "concat_grad"]:
        counts = op.numbers["counts"]
        if any(count % BLOCK for count in counts[:-1]) or program.is_input(op.inputs[0]):
            continue
        start = 0
        for value, count in zip(op.outputs, counts, strict=True):
            value.base, value.start = op.inputs[0], start
            start += count
        program.ops.remove(op)


def pack_weights(program: Program, threads: int) -> None:
    """Let convolutions that the engine computes be given weights packed anew, by an op before."""
    ops: list[Op] = []
    for op in program.ops:
        if op.kind in ("convolve", "input_grad") and laid_out(op):
            if op.kind == "convolve":
                op.choice = convolve.choose(replace(convolve.geometry(op), learns=True), threads)
            packed = Value((convolve.floats(op),))
            ops.append(Op("pack", [], {"of": op}, [packed], op.node, back=op.back))
            op.args.append(packed)
        ops.append(op)
    program.ops = ops


def _elementwise(name: str) -> bool:
    from ..kernels.common.activations import ACTIVATIONS

    return not ACTIVATIONS[name].over_channels


PASSES: tuple[Pass, ...] = (
    compute_blurs,
    drop_identities,
    defer_statistics,
    fuse_normalize,
    fuse_pool,
    fuse_bias,
    fuse_activation,
    turn_gradients,
    fuse_shortcut,
    elide_route,
    elide_gradients,
    reuse_maps,
    choose_layout,
)
