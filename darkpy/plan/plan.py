"""A plan: a program with every array at a fixed address and every call bound, ready to run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..errors import NetworkError, OutOfMemory
from ..kernels.cpu.engine import elementwise, store, team
from ..kernels.cpu.engine.records import Given, Kernel, Map, Packed, Row, Shared
from ..kernels.cpu.nms import DRIVER as SUPPRESS
from ..kernels.cpu.resize_picture import DRIVER as RESIZE
from ..memory import give_back, physical_memory
from ..network import Network
from . import chain, convolve, lower, memory
from .bf16 import bf16_passes, require
from .fused import MEANING
from .passes import PASSES, Pass
from .trace import Draw, Op, Program, Value, trace
from .turn import Turn

Result = TypeVar("Result")
Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]  # is told how many are done, and of how many
TRIM = 8 << 20  # bytes of freed weights that the C library may keep
ALWAYS = (*team.DRIVERS, RESIZE, SUPPRESS)  # what every detection calls beside the rows of its plan


@dataclass
class Step:
    """An op, bound: rows of the engine, and for one that it cannot compute a call of eager kernels.

    The call comes after the rows, which then write the zeros around what it gives.
    """

    op: Op
    rows: list[Row] = field(default_factory=list)
    call: Callable[[], None] | None = None


@dataclass(frozen=True)
class Gone:
    """Weights that are packed, and kept as they were no more: what is left is their shape."""

    shape: tuple[int, ...]


class Plan:
    """A program bound to memory and kernels.

    arrays  planar, without gaps, in which Values lie that are not to lie in the arena
    room    the memory to use; plans that share it run one at a time

    A run relies on nothing that the arena held before: it writes whatever it reads, zeros around
    maps included. So a map may lie where any other lay that is read no more.

    Attributes: ``program``, ``steps``, ``threads``, ``arena`` (bytes of all maps together).
    Several threads may call one plan; they take turns.
    """

    def __init__(
        self,
        program: Program,
        threads: int,
        strict: bool = False,
        progress: Progress | None = None,
        arrays: Mapping[Value, Floats] | None = None,
        room: memory.Room | None = None,
    ) -> None:
        self.program = program
        take(program)
        self.threads = threads
        self.strict = strict
        self._arrays = dict(arrays or {})
        self._room = room or memory.Room()
        self.places, size = memory.place(program, self._arrays)
        if size > physical_memory():
            raise OutOfMemory(
                f"{program.network.path}: maps take {size / 1e9:.1f} GB at once, but this process "
                f"may use {physical_memory() / 1e9:.1f}: take fewer or smaller pictures at once"
            )
        self._arena: NDArray[np.uint8] = self._room.take("arena", size)
        self.arena = size
        self._turn = Turn()
        self._eager: Any = None
        self._bordered: set[Value] = set()
        self._given: list[tuple[NDArray[np.int64], int, Any]] = []  # where addresses go, by name
        self._tables_timed: list[tuple[Any, list[int]]] | None = None
        self._packed: list[Op] = []
        self.steps = [self._bind(op) for op in program.ops]
        rows = [row for step in self.steps for row in step.rows]
        self._room.take("shared", max((row.shared for row in rows), default=0))
        self._room.take("scratch", team.room(rows, threads))
        self._build(progress)
        self._fill()
        self._forward = self._tables([step for step in self.steps if not step.op.back])
        self._backward = self._tables([step for step in self.steps if step.op.back])
        self.rng: np.random.Generator | None = None  # of what is drawn in a step of training
        self._outputs = {name: self._view(value) for name, value in program.outputs.items()}

    @property
    def weights(self) -> int:
        """Bytes of the weights of convolutions, as these read them."""
        return sum(op.numbers["packed"][0].nbytes for op in self._packed)

    def __call__(self, images: Floats) -> dict[Any, Floats]:
        """Return the outputs, by the index of each head, for images (batch, c, h, w) float32."""
        return self.run(
            {"image": images}, lambda outputs: {k: v.copy() for k, v in outputs.items()}
        )

    def run(
        self, inputs: Mapping[Any, Floats], use: Callable[[dict[Any, Floats]], Result]
    ) -> Result:
        """Compute, and return what ``use`` makes of the outputs; they are overwritten after it."""
        with self._turn:
            self.advance(inputs)
            return use(self._outputs)

    def advance(self, inputs: Mapping[Any, Floats], back: bool = False) -> dict[Any, Floats]:
        """Take inputs, run the way forward or back, and return the outputs as they lie.

        For one thread: the next call overwrites what is returned.
        """
        held = self._hand(inputs)
        for part in self._backward if back else self._forward:
            part()
        del held  # it was read until here
        return self._outputs

    def _hand(self, inputs: Mapping[Any, Floats]) -> dict[Any, Floats]:
        """Let rows read inputs where they lie; return arrays to keep as long as rows run."""
        held: dict[Any, Floats] = {}
        for name, array in inputs.items():
            shape = self.program.inputs[name].shape
            if array.shape != shape:
                raise NetworkError(f"expected an input of shape {shape}; got {array.shape}")
            held[name] = np.ascontiguousarray(array, np.float32)
        for args, at, name in self._given:
            if name in held:
                args[at] = held[name].__array_interface__["data"][0]  # .ctypes takes longer
        return held

    def times(self) -> NDArray[np.float64]:
        """Run the way forward once; return the milliseconds of each step, (steps,)."""
        found = np.zeros(len(self.steps))
        crew = team.team(self.threads)
        blank = {k: np.zeros(one.shape, np.float32) for k, one in self.program.inputs.items()}
        with self._turn:
            timed = self._timed()
            held = self._hand(blank)
            for table, owners in timed:
                if table is None:
                    start = time.perf_counter()
                    self.steps[owners[0]].call()  # type: ignore[misc]
                    found[owners[0]] += 1e3 * (time.perf_counter() - start)
                else:
                    np.add.at(found, owners, crew.run(table, times=True) / 1e3)
            del held
        return found

    def _timed(self) -> list[tuple[Any, list[int]]]:
        """Return the tables, each with the step that each row belongs to; None for a call."""
        if self._tables_timed is None:
            self._tables_timed = []
            rows: list[Row] = []
            owners: list[int] = []
            for i, step in enumerate(self.steps):
                rows += step.rows
                owners += [i] * len(step.rows)
                if step.call is not None or i == len(self.steps) - 1:
                    if rows:
                        self._tables_timed.append((self._bound(rows), owners))
                    if step.call is not None:
                        self._tables_timed.append((None, [i]))
                    rows, owners = [], []
        return self._tables_timed

    def _bind(self, op: Op) -> Step:
        found = lower.lowering(op) if lower.laid_out(op) else None
        borders = [row for one in op.outputs for row in self._border(one)]
        if found is None:
            return Step(op, borders, self._call(op))
        if op.kind == "convolve" and not lower.packs(op):
            self._pack(op)
        if op.kind == "chain":
            op.choice = chain.choose(op, self.threads)
            for part in op.numbers["parts"]:
                self._pack(part)
        places = [
            self.map(one) if one.ndim == 4 else self._view(one) for one in (*op.inputs, *op.outputs)
        ]
        return Step(op, [*borders, *found.rows(op, *places)])

    def _pack(self, op: Op) -> None:
        """Choose how a convolution is computed, and make room for its weights and biases."""
        g = convolve.geometry(op)
        op.choice = op.choice or convolve.choose(g, self.threads, self.strict)
        packed = convolve.empty(op.choice, g)
        block = memory.BLOCKS["bf16"]
        biases = memory.aligned(4 * block * -(-g.y[1] // block)).view(np.float32)
        op.numbers["packed"] = (packed, biases)
        self._packed.append(op)

    def _build(self, progress: Progress | None) -> None:
        """Have all code built at once, so that several interpreters can share the work."""
        rows = [row for step in self.steps for row in step.rows]
        rows += [row for op in self._packed for row in self._packing(op, 0)]
        names = {one: None for row in rows for one in row.args if isinstance(one, Kernel)}
        drivers = dict.fromkeys([*ALWAYS, *(row.driver for row in rows)])
        store.addresses([*drivers, *names], progress)

    def _fill(self) -> None:
        """Pack the weights of convolutions, and write their biases."""
        freed = 0
        for op in self._packed:
            w, scale, bias = (op.numbers[name] for name in ("w", "scale", "bias"))
            _, biases = op.numbers["packed"]
            if scale is not None:
                w = w * scale[:, None, None, None]
            w = np.ascontiguousarray(w, np.float32)
            self._table(self._packing(op, w.ctypes.data))()
            op.numbers["w"] = Gone(w.shape)
            freed += w.nbytes
            if freed > TRIM:
                del w
                give_back()
                freed = 0
            if bias is not None:
                biases[: len(bias)] = bias

    @staticmethod
    def _packing(op: Op, address: int) -> list[Row]:
        """Return the rows that pack a convolution's weights, which lie at an address."""
        return convolve.pack(op.choice, convolve.geometry(op), address, op.numbers["packed"][0])

    def _border(self, value: Value) -> list[Row]:
        """Return the rows that write the zeros around a root Value that this is the first of."""
        root = value.root
        if root in self._arrays or root in self._bordered or not any(self.places[root].border):
            return []
        self._bordered.add(root)
        return list(elementwise.zero_border(self.map(root)))

    def _call(self, op: Op) -> Callable[[], None]:
        """Return a call of the eager kernels on views of the arena."""
        if self._eager is None:
            self._eager = kernels.ops("cpu")
        ops = self._eager
        known = [self._view(one) if isinstance(one, Value) else one for one in op.args]
        outs = [self._view(one) for one in op.outputs]
        meaning: Any = MEANING.get(op.kind)
        numbers = op.numbers

        def call() -> None:
            args = [self.rng if isinstance(one, Draw) else one for one in known]
            with np.errstate(all="ignore"):  # numbers that overflow are inf, as in C
                if meaning is not None:
                    found = meaning(ops, *args, **numbers)
                else:
                    found = getattr(ops, op.kind)(*args, **numbers)
            found = found if isinstance(found, tuple) else (found,)
            for out, one in zip(outs, found, strict=False):  # some give nothing
                out[...] = one

        return call

    def _tables(self, steps: Sequence[Step]) -> list[Callable[[], None]]:
        """Return calls that run all steps: tables of rows, and what lies between them."""
        parts: list[Callable[[], None]] = []
        rows: list[Row] = []
        for step in steps:
            rows += step.rows
            if step.call is None:
                continue
            if rows:
                parts.append(self._table(rows))
                rows = []
            parts.append(step.call)
        if rows:
            parts.append(self._table(rows))
        return parts

    def _table(self, rows: Sequence[Row]) -> Callable[[], None]:
        """Return a call that runs rows."""
        table, crew = self._bound(rows), team.team(self.threads)
        return lambda: crew.run(table)

    def _bound(self, rows: Sequence[Row]) -> Any:
        """Return rows as a table with addresses for all that they name."""
        named = [one for row in rows for one in row.args if isinstance(one, Kernel)]
        known = store.addresses(named)
        shared = self._room.take("shared", max((row.shared for row in rows), default=0))
        scratch = self._room.take("scratch", team.room(rows, self.threads))

        def resolve(one: Any) -> int:
            if isinstance(one, Kernel):
                return int(known[one])
            if isinstance(one, Packed):
                return int(one.array.ctypes.data)
            if isinstance(one, Given):
                return 0
            if isinstance(one, Shared):
                return int(shared.ctypes.data) + int(one.offset)
            return int(one)

        table = team.Table(rows, self.threads, resolve, scratch)
        table.kept = (rows, shared)
        named = [one for row in rows for one in row.args]
        self._given += [
            (table.args, i, o.name) for i, o in enumerate(named) if isinstance(o, Given)
        ]
        return table

    def map(self, value: Value) -> Map:
        """Return where a Value lies."""
        if value in self._arrays:
            array = self._arrays[value]
            return Map(array.ctypes.data, *array.shape, 1, *array.strides[:3])
        root, place = value.root, self.places[value.root]
        block, size = memory.BLOCKS[root.layout], 2 if root.half else 4
        top, left, _, _ = place.border
        address = self._arena.ctypes.data + place.offset + top * place.row + left * size * block
        address += value.channel // block * place.plane
        strides = (place.image, place.plane, place.row)
        return Map(address, *value.shape, block, *strides, place.border, size)

    def _view(self, value: Value) -> Floats:
        """Return a planar Value as an array of numpy that shows where it lies."""
        if value in self._arrays:
            return self._arrays[value]
        place = self.places[value.root]
        memory_ = self._arena[place.offset :].view(np.float32)
        if value.ndim != 4:
            return memory_[: value.size].reshape(value.shape)
        top, left, _, _ = place.border
        start = (value.channel * place.plane + top * place.row) // 4 + left
        strides = (place.image, place.plane, place.row, 4)
        return np.lib.stride_tricks.as_strided(memory_[start:], value.shape, strides)


def compile(
    network: Network,
    params: Sequence[dict[str, Any]],
    *,
    batch: int = 1,
    threads: int | None = None,
    strict: bool = False,
    passes: Sequence[Pass] = PASSES,
    precision: str = "fp32",
    release: bool = False,
    progress: Progress | None = None,
) -> Plan:
    """Return a plan of a network's inference.

    params     one dict of float32 arrays a node; the plan keeps packed copies of its own
    batch      pictures of a call
    threads    that share the work; None takes what the machine has
    strict     use no algorithm that is less exact than direct sums in float32
    precision  "fp32"; or "bf16" for maps and weights of 16 bits with sums of float32, which takes
               a processor with AVX512-BF16 or AMX
    release    empty ``params``, so that none of them is in memory beside its packed copy
    progress   called with (how many are done, of how many) while code is built

    Raises DeviceError for a precision that there is not, or not on this processor.
    """
    require(precision, strict)
    every = passes if precision == "fp32" else bf16_passes(passes)
    program = traced(network, params, batch, threads, every)
    if release:
        for own in params:
            own.clear()
    return Plan(program, program.threads, strict, progress)


def traced(
    network: Network,
    params: Sequence[dict[str, Any]],
    batch: int,
    threads: int | None,
    passes: Sequence[Pass] = PASSES,
) -> Program:
    """Return the program that a plan of a network's inference is made of; see `compile`."""
    program = trace(network, params, batch)
    program.threads = threads or team.most()
    for one in passes:
        one(program)
    return program


def take(program: Program) -> None:
    """Begin with ops that copy what a program is given to maps of its own."""
    for name, value in program.inputs.items():
        readers = program.readers(value)
        if not readers:
            continue
        own = Value(value.shape)
        for op in readers:
            op.args = [own if one is value else one for one in op.args]
        first = readers[0]
        copy = Op("take", [], {"name": name}, [own], first.node, back=first.back)
        program.ops.insert(program.ops.index(first), copy)


def flops(network: Network) -> int:
    """Return the floating point operations of a network's convolutions for one picture."""
    return sum(
        2 * math.prod(node.params["weights"]) * node.shape.h * node.shape.w
        for node in network.nodes
        if node.layer.section == "convolutional" and "weights" in node.params
    )
