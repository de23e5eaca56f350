"""Passes for plans on a GPU: what they share with the processor's, and how maps are stored."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ...kernels.cuda.convolve import statistics_room
from .. import training
from ..passes import (
    PLAIN,
    Pass,
    _absorb,
    compute_blurs,
    drop_identities,
    elide_route,
    fold_batchnorm,
    fuse_activation,
    fuse_shortcut,
    merge_siblings,
)
from ..trace import Op, Program, Value

# Ops that read and write float32 whatever the precision: heads, and what comes after them.
EXACT = frozenset(("yolo", "gaussian_yolo", "region", "softmax", "softmax_grad"))
PLANAR = frozenset(("yolo", "gaussian_yolo", "region"))  # write a map, or a planar array
# Outputs of four dimensions that are no maps, by their position.
ARRAYS = {
    "conv2d_weight_grad": (0,),
    "local_weight_grad": (0,),
    "weighted_shortcut_grad": (0,),
    "repeat_grad": (0,),
    "binarize_weights": (0,),
    "blur_kernel": (0,),
}
OVER = {"activate": 0, "activate_grad": 1}  # which argument may be a parameter, and so no map


def inference_passes(type_: str) -> list[Pass]:
    """Return the passes of an inference whose maps are stored as "float", "half" or "bf16"."""
    return [
        compute_blurs,
        drop_identities,
        fold_batchnorm,
        fuse_activation,
        fuse_shortcut,
        merge_siblings,
        fuse_upsample,
        fuse_pools,
        partial(elide_route, whole=True),
        take_inputs,
        partial(store, type_=type_),
    ]


def forward_passes(type_: str) -> list[Pass]:
    """Return the passes of a way forward of parameters that change; see `inference_passes`."""
    return [
        compute_blurs,
        drop_identities,
        training.defer_statistics,
        gather_statistics,
        training.fuse_bias,
        fuse_activation,
        fuse_shortcut,
        fuse_upsample,
        fuse_pools,
        partial(elide_route, whole=True),
        take_inputs,
        partial(store, type_=type_),
    ]


def training_passes(type_: str) -> list[Pass]:
    """Return the passes of a step of training whose maps are stored as "float", "half", "bf16"."""
    return [
        compute_blurs,
        accumulate_gradients,
        training.drop_identities,
        training.defer_statistics,
        gather_statistics,
        training.fuse_normalize,
        training.fuse_pool,
        training.fuse_bias,
        fuse_activation,
        name_gradients,
        fuse_shortcut,
        fuse_pools,
        partial(elide_route, whole=True),
        training.elide_gradients,
        training.reuse_maps,
        fuse_sums,
        fuse_statistics,
        take_inputs,
        partial(store, type_=type_),
    ]


def accumulate_gradients(program: Program) -> None:
    """Let gradients of parameters that layers share be added up where they are asked for."""
    for op in [op for op in reversed(program.ops) if op.kind == "add" and op.back]:
        name = next((name for name, one in program.outputs.items() if one is op.output), None)
        if not isinstance(name, tuple):
            continue
        known, more = op.args
        for writer in program.ops:
            writer.outputs = [op.output if one is known else one for one in writer.outputs]
        op.kind, op.args = "accumulate", [more]


def gather_statistics(program: Program) -> None:
    """Let one op move all rolling averages, at the end of the way forward."""
    rolls = [op for op in program.ops if op.kind == "roll_average"]
    if rolls:
        args = [one for op in rolls for one in op.args]
        whole = Op("roll_averages", args, {}, [], rolls[0].node)
        program.ops[program.ops.index(rolls[0])] = whole
        program.ops = [op for op in program.ops if op not in rolls]


def name_gradients(program: Program) -> None:
    """Let the gradients of convolutions' inputs be given the weights of these by name."""
    for op in [op for op in program.ops if op.kind == "conv2d_input_grad"]:
        dy, w = op.args
        if not isinstance(w, Value):
            op.kind, op.args = "input_grad", [dy]
            op.numbers = {**op.numbers, "w": w}


def fuse_sums(program: Program) -> None:
    """Let a gradient be added to another that the same map has already."""
    for op in [op for op in program.ops if op.kind == "input_grad"]:
        add = program.sole_reader(op, "add")
        if add is None or len(add.args) != 2 or op.numbers["groups"] > 1:
            continue
        (other,) = [one for one in add.args if one is not op.output] or [op.output]
        if other is op.output or not _known(program, other, op):
            continue
        op.args.append(other)
        _absorb(program, op, add)


def fuse_statistics(program: Program) -> None:
    """Let a convolution sum up what batch norm needs to know of what it writes."""
    for norm in [op for op in program.ops if op.kind == "normalize"]:
        (y,) = norm.inputs
        conv = program.writer(y)
        if conv is None or conv.kind != "convolve" or y.base is not None:
            continue
        plain = all(conv.numbers[key] == value for key, value in PLAIN.items() if key != "bias")
        if plain and conv.numbers["bias"] is None and conv.numbers["groups"] == 1:
            pixels = y.size // y.shape[1]
            partials = Value((statistics_room(pixels, y.shape[1]),))
            conv.outputs.append(partials)
            norm.args.append(partials)


def _known(program: Program, value: Value, op: Op) -> bool:
    """Return whether a Value has been written before an op runs."""
    writer = program.writer(value)
    return writer is None or program.ops.index(writer) < program.ops.index(op)


def fuse_upsample(program: Program) -> None:
    """Let a convolution write each pixel several times, where that is all that is read."""
    for op in [op for op in program.ops if op.kind == "convolve"]:
        up = program.sole_reader(op, "upsample")
        plain = op.numbers["groups"] == 1 and op.numbers["residual"] == "none"
        if up and up.numbers["scale"] == 1 and plain:
            op.numbers["repeat"] = up.numbers["stride"]
            _absorb(program, op, up)


def fuse_pools(program: Program) -> None:
    """Let one op pool a map at stride 1 by windows of several sizes, and read it once."""
    for first in [op for op in program.ops if op.kind == "maxpool" and _keeps_size(op)]:
        if first not in program.ops:
            continue
        readers = program.readers(first.inputs[0])
        alike = [op for op in readers if op.kind == "maxpool" and _keeps_size(op)]
        if len(alike) > 1:
            first.kind, first.outputs = "spp", [op.output for op in alike]
            first.numbers = {"sizes": tuple(op.numbers["size"] for op in alike)}
            program.ops = [op for op in program.ops if op is first or op not in alike]


def _keeps_size(pool: Op) -> bool:
    size: int = pool.numbers["size"]
    return (pool.numbers["stride"], pool.numbers["padding"]) == ((1, 1), size - 1)


def take_inputs(program: Program) -> None:
    """Begin with ops that make maps of what a program is given."""
    for name, value in program.inputs.items():
        readers = program.readers(value)
        if not readers:
            continue
        own = Value(value.shape)
        _reread(readers, value, own)
        first = readers[0]
        take = Op("take", [], {"name": name}, [own], first.node, back=first.back)
        program.ops.insert(program.ops.index(first), take)


def store(program: Program, type_: str) -> None:
    """Say how each map is stored, convert where ops differ, and end with ops that give the outputs.

    What only heads read is float32, as are the outputs, which are planar arrays.
    """
    for value in _maps(program):
        value.root.stored = type_
    exact = [op for op in program.ops if op.kind in EXACT]
    for op in exact:
        op.output.root.stored = "float"
    if type_ != "float":
        for op in exact:
            for value in op.inputs:
                _widen(program, op, value)
            _narrow(program, op, type_)
        for value in program.outputs.values():
            if value.root.stored == type_ and _may_be_wide(program, value):
                value.stored = "float"
    _give_outputs(program)


def _maps(program: Program) -> Iterator[Value]:
    """Yield every Value that is a map."""
    arrays = {id(op.outputs[i]) for op in program.ops for i in ARRAYS.get(op.kind, ())}
    arrays |= {
        id(op.output)
        for op in program.ops
        if op.kind in OVER and not isinstance(op.args[OVER[op.kind]], Value)
    }
    given = {id(value) for value in program.inputs.values()}
    for value in program.values():
        if value.ndim == 4 and id(value) not in arrays and id(value) not in given:
            yield value


def _widen(program: Program, op: Op, value: Value) -> None:
    """Let an op read a map as float32: written so if nobody else reads it, or else converted."""
    if value.root.stored == "float":
        return
    if _may_be_wide(program, value):
        value.stored = "float"
        return
    wide = Value(value.shape, stored="float")
    _reread([op], value, wide)
    convert = Op("convert", [value], {}, [wide], op.node, back=op.back)
    program.ops.insert(program.ops.index(op), convert)


def _narrow(program: Program, op: Op, type_: str) -> None:
    """Let who reads an op's float32, and is not exact, read it converted to a type."""
    readers = [one for one in program.readers(op.output) if one.kind not in EXACT]
    if readers:
        narrow = Value(op.output.shape, stored=type_)
        _reread(readers, op.output, narrow)
        convert = Op("convert", [op.output], {}, [narrow], op.node, back=op.back)
        program.ops.insert(program.ops.index(op) + 1, convert)


def _may_be_wide(program: Program, value: Value) -> bool:
    """Return whether a map's writer can write float32, and all its readers want it so."""
    writer = program.writer(value)
    parts = any(one.base is value for one in program.values())
    return (
        value.base is None
        and not parts
        and writer is not None
        and writer.kind == "convolve"
        and writer.numbers["residual"] == "none"
        and writer.numbers["groups"] == 1
        and all(op.kind in EXACT for op in program.readers(value))
    )


def _give_outputs(program: Program) -> None:
    """End with ops that write maps asked for as planar arrays; heads write these themselves."""
    for name, value in program.outputs.items():
        if not value.root.stored:
            continue
        writer = program.writer(value)
        if writer and writer.kind in PLANAR and value.base is None and not program.readers(value):
            value.stored = ""
            continue
        planar = Value(value.shape)
        node, back = (writer.node, writer.back) if writer else (-1, False)
        at = program.ops.index(writer) + 1 if writer else 0
        program.ops.insert(at, Op("to_planar", [value], {}, [planar], node, back=back))
        program.outputs[name] = planar


def _reread(ops: list[Op], old: Value, new: Value) -> None:
    for op in ops:
        op.args = [new if one is old else one for one in op.args]
