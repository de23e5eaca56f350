"""Record a network as a flat list of ops, by running its layers with kernels that write down.

The recorder stands where the kernels of a device stand, so what is recorded is what
`darkpy.run.Tape` would compute, forward and back: there is no second description of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np

from .. import kernels
from ..network import Network
from ..run import Tape

Shape = tuple[int, ...]


@dataclass(eq=False)
class Value:
    """An array that a plan will hold; `base` says that it is channels of another one.

    shape   (n, c, h, w) of a map, or what the op gives
    start   the first channel within ``base``
    planar  whether it is laid out as numpy has it; otherwise in blocks of 16 channels
    half    whether it is of bf16, in blocks of 32 channels
    stored  how a GPU's map has it: "float", "half" or "bf16"; nothing for what is no map there
    """

    shape: Shape
    base: Value | None = None
    start: int = 0
    planar: bool = True
    half: bool = False
    stored: str = ""

    @property
    def root(self) -> Value:
        """The array that it is part of, or itself."""
        return self if self.base is None else self.base.root

    @property
    def channel(self) -> int:
        """Its first channel within the root."""
        return 0 if self.base is None else self.start + self.base.channel

    @property
    def layout(self) -> str:
        """How it lies: "planar", "blocked" or "bf16"."""
        root = self.root
        return "bf16" if root.half else "planar" if root.planar else "blocked"

    @property
    def bytes(self) -> int:
        """The bytes of its elements."""
        return self.size * (2 if self.root.half else 4)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]


@dataclass(eq=False)
class Op:
    """One call of a kernel.

    args     Values and arrays, by position
    numbers  what is given by keyword
    outputs  one Value, or several
    node     the index of the layer that asked for it
    """

    kind: str
    args: list[Any]
    numbers: dict[str, Any]
    outputs: list[Value]
    node: int
    choice: Any = None  # how it is computed, where there is a choice
    back: bool = False  # whether it belongs to the way back

    @property
    def inputs(self) -> list[Value]:
        """The Values among its arguments."""
        return [one for one in self.args if isinstance(one, Value)]

    @property
    def output(self) -> Value:
        """Its only output."""
        (one,) = self.outputs
        return one


@dataclass
class Program:
    """Ops in the order in which they run.

    inputs   what is given to it, by name
    outputs  what is asked of it, by name: a layer's index for a head, (index, name) for a gradient
    threads  that will share the work
    """

    network: Network
    ops: list[Op]
    inputs: dict[Any, Value]
    outputs: dict[Any, Value]
    threads: int = 1

    def readers(self, value: Value) -> list[Op]:
        """Return the ops that read a Value."""
        return [op for op in self.ops if any(one is value for one in op.args)]

    def writer(self, value: Value) -> Op | None:
        """Return the op that gives a Value, or None for an input."""
        for op in self.ops:
            if any(one is value for one in op.outputs):
                return op
        return None

    def is_input(self, value: Value) -> bool:
        """Return whether a Value is given, or part of what is."""
        return any(one is value.root for one in self.inputs.values())

    def is_output(self, value: Value) -> bool:
        """Return whether a Value is asked for."""
        return any(one is value for one in self.outputs.values())

    def sole_reader(self, op: Op, kind: str) -> Op | None:
        """Return the only op that reads an op's output, if it is of that kind."""
        value = op.output
        readers = self.readers(value)
        alone = len(readers) == 1 and not self.is_output(value)
        return readers[0] if alone and readers[0].kind == kind else None

    def values(self) -> Iterator[Value]:
        """Yield every Value once."""
        seen: set[int] = set()
        for op in self.ops:
            for one in (*op.inputs, *op.outputs):
                if id(one) not in seen:
                    seen.add(id(one))
                    yield one


class Recorder:
    """Looks like the kernels of a device; every call on a Value becomes an Op."""

    device = "recorder"

    def __init__(self, ops: Any, train: bool = False) -> None:
        self.kernels = ops
        self.train = train
        self.back = False
        self.ops: list[Op] = []

    def of(self, node: int) -> Recording:
        """Return the kernels that one layer is given."""
        return Recording(self, node)


class Recording:
    """The recorder, as one layer sees it."""

    def __init__(self, recorder: Recorder, node: int) -> None:
        self.recorder = recorder
        self.node = node

    def __getattr__(self, kind: str) -> Any:
        return partial(self._record, kind)

    def _record(self, kind: str, *args: Any, **numbers: Any) -> Any:
        recorder = self.recorder
        if not recorder.train and not any(isinstance(one, Value) for one in args):
            return getattr(recorder.kernels, kind)(*args, **numbers)
        if kind == "concat" and len(args) == 1:
            return args[0]
        shapes = output_shapes(kind, args, numbers)
        several = isinstance(shapes, list)
        outputs = [Value(shape) for shape in (shapes if several else [shapes])]
        recorder.ops.append(Op(kind, list(args), numbers, outputs, self.node, back=recorder.back))
        return tuple(outputs) if several else outputs[0]


def trace(network: Network, params: Sequence[dict[str, Any]], batch: int = 1) -> Program:
    """Return the ops that `Tape.forward` computes for ``batch`` pictures, in inference."""
    recorder = Recorder(kernels.ops("cpu"))
    tape = _recorded(Tape(network, params, recorder), recorder)
    image = Value((batch, *network.image))
    outputs = tape.forward(image)
    return Program(network, recorder.ops, {"image": image}, dict(outputs))


def trace_forward(
    network: Network, params: Sequence[dict[str, Any]], batch: int, learning: Collection[int] = ()
) -> Program:
    """Return the ops of `Tape.forward` for parameters that change: nothing is made of them now.

    learning  layers, by index, that run as in training
    """
    recorder = Recorder(kernels.ops("cpu"), train=True)
    tape = _recorded(Tape(network, params, recorder), recorder)
    for index in learning:
        tape.frames[index].train = True
    image = Value((batch, *network.image))
    outputs = tape.forward(image)
    return Program(network, recorder.ops, {"image": image}, dict(outputs))


class Draw:
    """Stands for the generator of random numbers, which each step brings."""


def trace_step(
    network: Network,
    params: Sequence[dict[str, Any]],
    batch: int,
    frozen: int = 0,
    until: int = -1,
    losing: Sequence[int] | None = None,
) -> Program:
    """Return the ops of `Tape.forward` and `Tape.backward` in training.

    frozen, until  as Tape has them
    losing         the heads that have a loss; None is all of them

    Its inputs are "image" and, by the index of each such head, the gradient that a loss gives; its
    outputs are the heads by index, and gradients of parameters by (index, name).
    """
    recorder = Recorder(kernels.ops("cpu"), train=True)
    tape = Tape(network, params, recorder, True, None, frozen)
    _recorded(tape, recorder)
    for frame in tape.frames:
        frame.rng = cast(Any, Draw())
    image = Value((batch, *network.image))
    heads = tape.forward(image)
    deltas = {i: Value(heads[i].shape) for i in (heads if losing is None else losing)}
    recorder.back = True
    tape.backward(deltas, until, image=False)
    grads = {
        (node.index, name): grad
        for node, frame in zip(network.nodes, tape.frames, strict=True)
        if node.owner == node.index
        for name, grad in frame.grads.items()
    }
    return Program(network, recorder.ops, {"image": image, **deltas}, {**heads, **grads})


def _recorded(tape: Tape, recorder: Recorder) -> Tape:
    """Let each layer of a tape be given a recorder of its own."""
    tape.ops = recorder.of(-1)
    for node, frame in zip(tape.network.nodes, tape.frames, strict=True):
        frame.ops = recorder.of(node.index)
    return tape


def output_shapes(kind: str, args: Sequence[Any], numbers: Mapping[str, Any]) -> Any:
    """Return the shape of what an op gives, or a list of shapes if it gives several arrays."""
    rule = SHAPES.get(kind)
    if rule is not None:
        return rule(*(getattr(one, "shape", one) for one in args), **numbers)
    stand_ins = [np.zeros(one.shape, np.float32) if isinstance(one, Value) else one for one in args]
    found = getattr(kernels.ops("reference"), kind)(*stand_ins, **numbers)
    if found is None:
        return []
    return [one.shape for one in found] if isinstance(found, tuple) else found.shape


def _same(x: Shape, *others: Any, **numbers: Any) -> Shape:
    return x


def _conv2d(x: Shape, w: Shape, *, stride: Any, padding: int, dilation: int, groups: int) -> Shape:
    from ..kernels.common.geometry import conv_output

    sides = [conv_output(n, w[2], s, padding, dilation) for n, s in zip(x[2:], stride, strict=True)]
    return (x[0], w[0], *sides)


def _concat(*xs: Shape) -> Shape:
    return (xs[0][0], sum(x[1] for x in xs), *xs[0][2:])


def _maxpool(x: Shape, *, size: int, stride: Any, padding: int) -> Shape:
    from ..kernels.common.geometry import pool_output

    return (*x[:2], *(pool_output(n, size, s, padding) for n, s in zip(x[2:], stride, strict=True)))


def _upsample(x: Shape, *, stride: int, scale: float) -> Shape:
    return (*x[:2], x[2] * stride, x[3] * stride)


SHAPES: dict[str, Any] = {
    **dict.fromkeys(("activate", "add", "bias", "batchnorm", "shortcut", "yolo"), _same),
    **dict.fromkeys(("gaussian_yolo", "region", "softmax", "zeros_like"), _same),
    "multiply": lambda *xs: np.broadcast_shapes(*xs),
    "conv2d": _conv2d,
    "concat": _concat,
    "channels": lambda x, *, start, count: (x[0], count, *x[2:]),
    "maxpool": _maxpool,
    "avgpool": lambda x: (*x[:2], 1, 1),
    "upsample": _upsample,
    "linear": lambda x, w: (x[0], w[0], 1, 1),
    "activate_grad": _same,
    "bias_grad": lambda dy: (dy[1],),
    "batch_statistics": lambda x: [(x[1],), (x[1],)],
    "roll_average": lambda rolling, batch: [],
    "batchnorm_grad": lambda dy, x, *_: [x, (x[1],), (x[1],)],
    "conv2d_weight_grad": lambda dy, x, *, size, groups, **_: (
        dy[1],
        x[1] // groups,
        size,
        size,
    ),
    "conv2d_input_grad": lambda dy, w, *, shape, **_: shape,
    "concat_grad": lambda dy, *, counts: [(dy[0], count, *dy[2:]) for count in counts],
    "channels_grad": lambda dy, *, start, channels: (dy[0], channels, *dy[2:]),
    "maxpool_grad": lambda dy, x, y, **_: x,
    "avgpool_grad": lambda dy, *, shape: shape,
    "upsample_grad": lambda dy, *, stride, scale: (*dy[:2], dy[2] // stride, dy[3] // stride),
    "multiply_grad": lambda dy, x, y: [x, y],
    "dropout_mask": lambda x, *_, **__: x,
    "dropblock_mask": lambda x, *_, **__: x,
    "crop_places": lambda _, *, count, **__: (count, 3),
    "crop": lambda x, _, *, height, width, **__: (*x[:2], height, width),
    "crop_grad": lambda dy, _, *, shape, **__: shape,
}
