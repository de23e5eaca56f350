"""Each way in which the engine computes a convolution, over the layers of networks.

A layer is a convolution of some shape; layers of one shape are measured once. For each there is a
row a way: direct, by Winograd with outputs of m x m cells, one channel at a time, from planar maps.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import probes

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import team
from darkpy.kernels.cpu.engine.packing import aligned
from darkpy.network import Network
from darkpy.plan import convolve
from darkpy.plan.convolve import Choice, Geometry
from tests.kernels.engine import maps

WINOGRAD = [
    Choice("winograd", (("m", m), ("mode", mode), ("tiles", 56)))
    for m in range(2, 7)
    for mode in (0, 1)
]
HEAD = f"{'layer':44}{'way':32}{'ms':>9}{'GFLOP/s':>9}{'peak':>7}{'error':>9}"
Layer = tuple[Geometry, str]  # and its activation


def shapes(network: Network, batch: int) -> dict[Layer, int]:
    """Return the convolutions of a network, and how often each of them stands in it."""
    before = {-1: network.image} | {node.index: node.shape for node in network.nodes}
    found: dict[Layer, int] = {}
    for node in network.nodes:
        layer = node.layer
        if layer.section != "convolutional":
            continue
        x = before[node.inputs[0]]
        one = Geometry(
            (layer.filters, x.c // layer.split, layer.size, layer.size), layer.strides,
            layer.border, layer.spacing, layer.split, (batch, *x), (batch, *node.shape),
            planar=node.inputs[0] == -1,
        )  # fmt: skip
        found[one, layer.activation] = found.get((one, layer.activation), 0) + 1
    return found


def ways(g: Geometry) -> list[Choice]:
    """Return the ways that can compute a convolution."""
    if g.planar:
        return [Choice("first")]
    if 1 < g.groups == g.x[1] == g.y[1]:
        return [Choice("depthwise")]
    plain = g.stride == (1, 1) and g.padding == g.dilation == g.groups == 1 and g.size == 3
    return [Choice("direct"), *(WINOGRAD if plain else [])]


class Layout:
    """A convolution bound to memory in one way: its table, and the maps it reads and fills."""

    def __init__(
        self, g: Geometry, way: Choice, activation: str, arrays: Sequence[np.ndarray], threads: int
    ) -> None:
        x, w, bias = arrays
        make = maps.planar if g.planar else maps.blocked
        self.x = make(*g.x, border=g.margin).put(x)
        self.y = maps.blocked(*g.y)
        shape = convolve.packed_shape(way, g)
        packed = aligned(shape)
        held = aligned(w.shape)
        held[...] = w
        maps.execute(convolve.pack(way, g, held.ctypes.data, packed), threads)
        biases = aligned((16 * self.y.map.blocks,))
        biases[: len(bias)] = bias
        numbers = {"activation": activation, "residual": "none", "pool": False}
        rows = convolve.rows(way, g, self.x.map, None, self.y.map, packed, biases, numbers)
        self.table = maps.bind(rows, threads)
        self.team = team.team(threads)

    def run(self) -> float:
        """Return the seconds of one run."""
        start = time.perf_counter()
        self.team.run(self.table)
        return time.perf_counter() - start


def measure(
    paths: Sequence[str | Path], rounds: int, threads: int, batch: int = 1
) -> Iterator[dict]:
    """Return a row for each layer and way, ways taking turns.

    ms, best  of a run, median and least; share is of the peak of multiply-adds; error the largest
              difference from float64 by the largest value
    """
    layers: dict[Layer, list[str]] = {}
    for path in paths:
        for one, count in shapes(Network.from_cfg(path), batch).items():
            layers.setdefault(one, []).append(f"{Path(path).stem} x{count}")
    most = probes.peak(threads)
    for (g, activation), names in layers.items():
        arrays = draw(g)
        truth = true(g, activation, arrays)
        bound = {way: Layout(g, way, activation, arrays, threads) for way in ways(g)}
        times: dict[Choice, list[float]] = {way: [] for way in bound}
        for turn in range(rounds + 1):  # the first is left out
            for way, one in bound.items():
                seconds = one.run()
                if turn:
                    times[way].append(1e3 * seconds)
        for way, one in bound.items():
            ms = statistics.median(times[way])
            speed = 1e-6 * g.flops / ms
            error = float(abs(one.y.get() - truth).max() / abs(truth).max())
            yield {
                "layer": described(g), "networks": names, "activation": activation,
                "way": str(way), "ms": ms, "best": min(times[way]), "gflops": speed,
                "share": speed / most, "error": error,
            }  # fmt: skip


def draw(g: Geometry) -> list[np.ndarray]:
    """Return x, weights and biases of a layer, float32."""
    rng = np.random.default_rng(0)
    x, w, bias = (
        rng.standard_normal(shape, np.float32) for shape in (g.x, g.w_shape, g.w_shape[:1])
    )
    return [x, w / np.float32(math.sqrt(math.prod(g.w_shape[1:]))), bias]


def true(g: Geometry, activation: str, arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return what the layer puts out, in float64."""
    reference = ops("reference")
    x, w, bias = (array.astype(np.float64) for array in arrays)
    keys = {"padding": g.padding, "dilation": g.dilation, "groups": g.groups}
    y = reference.conv2d(x, w, stride=g.stride, **keys)
    return reference.activate(reference.bias(y, bias), activation)


def described(g: Geometry) -> str:
    """Return a layer in a few words: "256 -> 512 @13x13 k3 s2"."""
    parts = [f"{g.x[1]} -> {g.y[1]} @{g.y[2]}x{g.y[3]} k{g.size}"]
    parts += [f"s{g.stride[0]}"] if g.stride != (1, 1) else []
    parts += [f"d{g.dilation}"] if g.dilation > 1 else []
    parts += [f"groups {g.groups}"] if g.groups > 1 else []
    return " ".join(parts)


def line(row: dict) -> str:
    return (
        f"{row['layer'] + ' ' + row['activation']:44}{row['way']:32}{row['ms']:9.3f}"
        f"{row['gflops']:9.0f}{row['share']:7.0%}{row['error']:9.0e}"
    )
