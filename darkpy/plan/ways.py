"""Each way in which a convolution of a network can be computed, and how long it takes alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import kernels
from ..kernels.cpu.engine import winograd
from ..network import Network
from . import convolve, fused
from .chain import fuse_chains
from .convolve import Choice, Geometry
from .memory import Room
from .passes import PASSES
from .plan import Plan, traced
from .trace import Op, Program, Value

NEAR = 4  # ways of Winograd that should cost least, of those worth measuring


@dataclass(frozen=True)
class Layer:
    """Convolutions of one geometry.

    ops  in the order in which they run; the first stands for all
    """

    geometry: Geometry
    ops: tuple[Op, ...]

    def __str__(self) -> str:
        """Return it in a few words: "256 -> 512 @13x13 k3 s2"."""
        g = self.geometry
        words = [f"{g.x[1]} -> {g.y[1]} @{g.y[2]}x{g.y[3]} k{g.size}"]
        words += [f"x{g.x[0]}"] if g.x[0] > 1 else []
        words += [f"s{g.stride[0]}"] if g.stride != (1, 1) else []
        words += [f"d{g.dilation}"] if g.dilation > 1 else []
        words += [f"groups {g.groups}"] if g.groups > 1 else []
        words += ["pool"] if g.pool else []
        return " ".join(words)


def separate(
    network: Network, params: Sequence[dict[str, Any]], batch: int, threads: int
) -> Program:
    """Return the program of a plan in which every convolution is an op of its own."""
    passes = [one for one in PASSES if one is not fuse_chains]
    return traced(network, params, batch, threads, passes)


def layers(program: Program) -> list[Layer]:
    """Return the convolutions of a program in which layouts are chosen."""
    found: dict[Geometry, list[Op]] = {}
    for op in program.ops:
        if op.kind == "convolve":
            found.setdefault(convolve.geometry(op), []).append(op)
    return [Layer(g, tuple(ops)) for g, ops in found.items()]


def worth(g: Geometry, threads: int, strict: bool = False) -> list[Choice]:
    """Return the ways worth measuring, what `convolve.estimate` takes first.

    Of Winograd's these are the `NEAR` that should cost least, and for each size of tiles the one.
    """
    first = convolve.estimate(g, threads, strict)
    each: dict[str, list[Choice]] = {}
    for one in convolve.candidates(g, threads, strict):
        each.setdefault(one.name, []).append(one)
    cheap = sorted(each.pop("winograd", []), key=lambda one: cost(one, g, threads))
    sizes = {dict(one.options)["m"]: one for one in reversed(cheap)}
    others = [one for ways in each.values() for one in ways]
    return list(dict.fromkeys([first, *others, *cheap[:NEAR], *sizes.values()]))


def of_each_kind(g: Geometry, threads: int, strict: bool = False) -> list[Choice]:
    """Return the direct way, and the best of Winograd's, by its cost, for each size of tiles."""
    sizes: dict[tuple[str, int], Choice] = {}
    found = convolve.candidates(g, threads, strict)
    for one in sorted(found, key=lambda one: cost(one, g, threads)):
        sizes.setdefault((one.name, dict(one.options).get("m", 0)), one)
    return [sizes[name] for name in sorted(sizes)]


def cost(way: Choice, g: Geometry, threads: int) -> float:
    """Return about how many microseconds Winograd's way takes, and 0 for others."""
    if way.name != "winograd":
        return 0.0
    return float(winograd.cost(g.x, g.y[1], threads, **dict(way.options)))


class Bound:
    """A convolution by itself, bound to memory in one way, without what comes before and after.

    room  memory that it shares with other ways, of which one runs at a time
    """

    def __init__(self, program: Program, op: Op, way: Choice, threads: int, room: Room) -> None:
        self.plan = Plan(alone(program, op, way), threads, room=room)
        kinds = [step.op.kind for step in self.plan.steps]
        self.step = kinds.index("convolve")

    def time(self) -> float:
        """Return the milliseconds of one run."""
        return float(self.plan.times()[self.step])

    def __call__(self, maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return what it computes of maps (n, c, h, w), the second of which is added."""
        given = dict(enumerate(maps))
        return self.plan.run(given, lambda outputs: outputs["y"].copy())


def bind(program: Program, op: Op, ways: Iterable[Choice], threads: int) -> list[Bound]:
    """Return a convolution bound in each of some ways, all in the same memory."""
    room = Room()
    return [Bound(program, op, way, threads, room) for way in ways]


def alone(program: Program, op: Op, way: Choice) -> Program:
    """Return a program of one convolution: its inputs are 0 and, if a map is added, 1."""
    inputs = {i: Value(one.shape) for i, one in enumerate(op.inputs)}
    own, ops = list(inputs.values()), []
    for i, one in enumerate(op.inputs):
        if not one.root.planar:
            own[i] = Value(one.shape, planar=False)
            ops.append(Op("to_blocked", [inputs[i]], {}, [own[i]], op.node))
    y, planar = Value(op.output.shape, planar=False), Value(op.output.shape)
    numbers = {name: one for name, one in op.numbers.items() if name != "packed"}
    ops.append(Op("convolve", [*own], numbers, [y], op.node, way))
    ops.append(Op("to_planar", [y], {}, [planar], op.node))
    return Program(program.network, ops, {**inputs}, {"y": planar})


def times(bound: Iterable[Bound], rounds: int) -> list[float]:
    """Return the median milliseconds of each, which take turns: caches are as others leave them."""
    found: dict[Bound, list[float]] = {one: [] for one in bound}
    for turn in range(rounds + 1):  # the first is left out
        for one, spent in found.items():
            milliseconds = one.time()
            if turn:
                spent.append(milliseconds)
    return [statistics.median(spent) for spent in found.values()]


def rows(
    program: Program,
    layer: Layer,
    ways: Sequence[Choice],
    threads: int,
    rounds: int,
    wants_errors: bool = False,
) -> Iterator[dict[str, Any]]:
    """Yield figures of each way of a convolution, to be printed or written as JSON.

    gflops  by the operations of the direct way
    error   see `errors`; only if it is wanted
    """
    bound = bind(program, layer.ops[0], ways, threads)
    spent = times(bound, rounds)
    found = errors(layer.ops[0], bound) if wants_errors else []
    for i, (way, ms) in enumerate(zip(ways, spent, strict=True)):
        row = {"layer": str(layer), "way": str(way), "ms": ms}
        row["gflops"] = 1e-6 * layer.geometry.flops / ms
        yield {**row, "error": found[i]} if wants_errors else row


def errors(op: Op, bound: Iterable[Bound], seed: int = 0) -> list[float]:
    """Return the largest difference of each from float64, by the largest value.

    Maps are drawn from N(0, 1); the weights are the network's own.
    """
    rng = np.random.default_rng(seed)
    maps = [rng.standard_normal(one.shape, np.float32) for one in op.inputs]
    numbers = {
        name: one.astype(np.float64) if isinstance(one, np.ndarray) else one
        for name, one in op.numbers.items()
        if name != "packed"
    }
    wide = [one.astype(np.float64) for one in maps]
    truth = fused.convolve(kernels.ops("reference"), *wide, **numbers)
    return [float(abs(one(maps) - truth).max() / abs(truth).max()) for one in bound]
