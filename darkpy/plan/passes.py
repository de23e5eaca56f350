"""Passes: each takes a program and makes it better; after any of them it still gives the same.

A convolution with what it does on the way out is one op, ``convolve``: see `fused.convolve`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import kernels
from ..kernels.common.activations import ACTIVATIONS
from ..kernels.common.geometry import BATCHNORM_EPSILON
from .chain import fuse_chains
from .trace import Op, Program, Value

BLOCK = 16  # channels side by side
FOLDED = {"conv2d": "convolve", "linear": "connect"}
PLAIN = {"scale": None, "bias": None, "activation": "linear", "residual": "none", "pool": False}


def compute_blurs(program: Program) -> None:
    """Compute now what maps are blurred with: it follows from their shape."""
    for op in [op for op in program.ops if op.kind == "blur_kernel"]:
        like, kind = op.args
        weights = kernels.ops("reference").blur_kernel(np.empty(like.shape, np.float32), kind)
        for reader in program.readers(op.output):
            reader.args = [weights if one is op.output else one for one in reader.args]
        program.ops.remove(op)


def drop_identities(program: Program) -> None:
    """Take out activations that change nothing."""
    for op in list(program.ops):
        if op.kind == "activate" and op.args[1] == "linear":
            _replace(program, op.output, op.inputs[0])
            program.ops.remove(op)


def fold_batchnorm(program: Program) -> None:
    """Make batch norm, or a bias, after a convolution or a matrix part of its weights and bias."""
    for op in [op for op in program.ops if op.kind in FOLDED]:
        x, w = op.args
        op.kind, op.args = FOLDED[op.kind], [x]
        op.numbers = {**op.numbers, **PLAIN, "w": w}
        if norm := program.sole_reader(op, "batchnorm"):
            scales, biases, mean, variance = norm.args[1:]
            scale = scales / np.sqrt(variance + np.float32(BATCHNORM_EPSILON))
            op.numbers |= {"scale": scale, "bias": biases - mean * scale}
            _absorb(program, op, norm)
        elif bias := program.sole_reader(op, "bias"):
            op.numbers["bias"] = bias.args[1]
            _absorb(program, op, bias)


def fuse_activation(program: Program) -> None:
    """Let ops apply the activation that follows them."""
    kinds = ("convolve", "connect", "batchnorm", "add", "shortcut", "multiply")
    for op in [op for op in program.ops if op.kind in kinds]:
        after = program.sole_reader(op, "activate")
        if after and op.numbers.get("activation", "linear") == "linear" and _elementwise(after):
            op.numbers["activation"] = after.args[1]
            _absorb(program, op, after)


def fuse_shortcut(program: Program) -> None:
    """Let a convolution add another map while it writes."""
    for op in [op for op in program.ops if op.kind == "convolve"]:
        add = program.sole_reader(op, "add")
        if add is None or len(add.args) != 2 or add.args[0] is add.args[1]:
            continue
        kind = add.numbers.get("activation", "linear")
        if kind != "linear" and op.numbers["activation"] != "linear":
            continue
        (other,) = [one for one in add.args if one is not op.output]
        op.args.append(other)
        op.numbers["residual"] = "after" if kind == "linear" else "before"
        if kind != "linear":
            op.numbers["activation"] = kind
        _absorb(program, op, add)


def fuse_pool(program: Program) -> None:
    """Let a convolution write the largest of each 2 x 2 cells alone, where that is all that is
    read."""
    for op in [op for op in program.ops if op.kind == "convolve"]:
        pool = program.sole_reader(op, "maxpool")
        if pool is None or op.numbers["residual"] != "none":
            continue
        pairs = pool.numbers == {"size": 2, "stride": (2, 2), "padding": 1}
        if pairs and op.output.shape[2] % 2 == 0 and op.output.shape[3] % 2 == 0:
            op.numbers["pool"] = True
            _absorb(program, op, pool)


def merge_siblings(program: Program) -> None:
    """Let one convolution do what two of 1 x 1 do that read the same map; it is read but once.

    What they gave is channels of what it gives. Two are left alone of which a concatenation takes
    one, or both but not side by side: there each writes where it will be.
    """
    for first in [op for op in program.ops if op.kind == "convolve"]:
        if first not in program.ops:
            continue
        for second in program.readers(first.inputs[0]):
            if second is not first and _alike(first, second):
                pair = _side_by_side(program, first, second)
                if pair and not any(program.is_output(op.output) for op in pair):
                    _merge(program, *pair)
                    break


def _alike(first: Op, second: Op) -> bool:
    """Return whether two ops are convolutions of 1 x 1 that differ in their filters alone."""
    ops = (first, second)
    if any(op.kind != "convolve" or op.numbers["residual"] != "none" for op in ops):
        return False
    own = ("w", "scale", "bias")
    rest = [{key: n for key, n in op.numbers.items() if key not in own} for op in ops]
    none = all((first.numbers[key] is None) == (second.numbers[key] is None) for key in own)
    one = all(op.numbers["w"].shape[2:] == (1, 1) and op.numbers["groups"] == 1 for op in ops)
    return none and one and rest[0] == rest[1]


def _side_by_side(program: Program, first: Op, second: Op) -> tuple[Op, Op] | None:
    """Return two convolutions in the order in which a concatenation, if any, has their outputs."""
    joins = [
        op
        for op in program.ops
        if op.kind == "concat" and any(one in (first.output, second.output) for one in op.args)
    ]
    pair = (first, second)
    if joins:
        if len(joins) > 1 or not all(joins[0].args.count(op.output) == 1 for op in pair):
            return None
        places = [joins[0].args.index(op.output) for op in pair]
        if abs(places[0] - places[1]) != 1:
            return None
        pair = pair if places[0] < places[1] else (second, first)
    return pair if pair[0].output.shape[1] % BLOCK == 0 else None


def _merge(program: Program, first: Op, second: Op) -> None:
    """Put one op in the place of two; ``first`` gives the first channels."""
    pair = (first, second)
    n, count, h, w = first.output.shape
    whole = Value((n, count + second.output.shape[1], h, w))
    for join in [op for op in program.ops if op.kind == "concat" and first.output in op.args]:
        join.args.remove(second.output)
        join.args[join.args.index(first.output)] = whole
    first.output.base, second.output.base, second.output.start = whole, whole, count
    numbers = dict(first.numbers)
    for key in ("w", "scale", "bias"):
        if numbers[key] is not None:
            numbers[key] = np.concatenate([op.numbers[key] for op in pair])
    at = min(program.ops.index(op) for op in pair)
    program.ops[at] = Op("convolve", list(first.args), numbers, [whole], program.ops[at].node)
    program.ops = [op for op in program.ops if op not in pair]


def elide_route(program: Program, whole: bool = False) -> None:
    """Let layers write where their concatenation will be, and read channels where they are.

    whole  only whole blocks of channels, and the last one, are read where they are
    """
    for op in [op for op in program.ops if op.kind == "channels"]:
        apart = program.is_output(op.output) or program.is_input(op.inputs[0])
        end = op.numbers["start"] + op.numbers["count"]
        cut = whole and end % BLOCK and end != op.inputs[0].shape[1]
        if op.numbers["start"] % BLOCK == 0 and not apart and not cut:
            op.output.base, op.output.start = op.inputs[0], op.numbers["start"]
            program.ops.remove(op)
    for op in [op for op in program.ops if op.kind == "concat"]:
        counts = [one.shape[1] for one in op.args]
        if any(count % BLOCK for count in counts[:-1]):
            continue
        copies, start = [], 0
        for value, count in zip(op.args, counts, strict=True):
            if _movable(program, value, op.output):
                value.base, value.start = op.output, start
            else:
                part = Value(value.shape, op.output, start)
                copies.append(Op("copy", [value], {}, [part], op.node))
            start += count
        at = program.ops.index(op)
        program.ops[at : at + 1] = copies


def _movable(program: Program, value: Value, into: Value) -> bool:
    """Return whether a Value can be channels of another one: if it is none yet."""
    inputs = program.inputs.values()
    return (
        value.base is None
        and value.root is not into.root
        and not program.is_output(value)
        and not any(one is value for one in inputs)
    )


def choose_layout(program: Program) -> None:
    """Lay maps out in blocks of 16 channels where kernels want them so; convert where they do not.

    An op that has no kernel for blocks reads and writes planar maps.
    """
    from .lower import layouts

    for value in program.values():
        value.root.planar = True
    for op in program.ops:
        for one, planar in zip(op.outputs, layouts(op)[1], strict=True):
            if not planar:
                one.root.planar = False
    asked = {id(value): name for name, value in program.outputs.items()}
    converted: dict[tuple[int, bool], Value] = {}
    ops: list[Op] = []
    for op in program.ops:
        reads, writes = layouts(op)
        wanted = {id(one): planar for one, planar in zip(op.inputs, reads, strict=True)}
        for i, one in enumerate(op.args):
            if isinstance(one, Value) and one.root.planar != wanted[id(one)]:
                key = (id(one), not one.root.planar)
                if key not in converted:
                    converted[key] = Value(one.shape, planar=not one.root.planar)
                    ops.append(_conversion(one, converted[key], op))
                op.args[i] = converted[key]
        after: list[Op] = []
        for i, planar in enumerate(writes):
            one = op.outputs[i]
            if one.base is None:
                one.planar = planar
            elif one.root.planar != planar:
                op.outputs[i] = Value(one.shape, planar=planar)
                after.append(_conversion(op.outputs[i], one, op))
            if id(one) in asked and not one.root.planar:
                name = asked[id(one)]
                program.outputs[name] = Value(one.shape)
                after.append(_conversion(one, program.outputs[name], op))
        ops += [op, *after]
    program.ops = ops


def _conversion(value: Value, to: Value, reader: Op) -> Op:
    kind = "to_planar" if to.root.planar else "to_blocked"
    return Op(kind, [value], {}, [to], reader.node, back=reader.back)


def _absorb(program: Program, op: Op, reader: Op) -> None:
    """Let an op take its reader's place and give what that gave."""
    op.outputs = reader.outputs
    program.ops.remove(op)
    program.ops[program.ops.index(reader)] = op


def _replace(program: Program, old: Value, new: Value) -> None:
    """Let everything that reads a Value read another one."""
    for op in program.ops:
        op.args = [new if one is old else one for one in op.args]
    program.outputs = {name: new if one is old else one for name, one in program.outputs.items()}


def _elementwise(op: Op) -> bool:
    return not ACTIVATIONS[op.args[1]].over_channels


Pass = Callable[[Program], None]
PASSES: tuple[Pass, ...] = (
    compute_blurs,
    drop_identities,
    fold_batchnorm,
    fuse_activation,
    fuse_shortcut,
    fuse_pool,
    merge_siblings,
    elide_route,
    fuse_chains,
    choose_layout,
)
