"""THE table of cases of the kernels: op, arrays, numbers, and how near two answers must be.

Three things use it: agreement of the processor's kernels with the reference (test_agreement.py),
gradients against finite differences (test_gradient.py), and speed (benchmarks/bench_kernels.py).
A new op has rows here, and with them all three.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from darkpy.kernels.common.activations import ACTIVATIONS
from darkpy.kernels.common.geometry import conv_output

Draw = Callable[[np.random.Generator, Any], np.ndarray]


def normal(*shape: int) -> Draw:
    """Numbers of the standard normal distribution."""
    return lambda rng, dtype: rng.standard_normal(shape).astype(dtype)


def positive(*shape: int) -> Draw:
    """Numbers in .5 .. 2, as variances are."""
    return lambda rng, dtype: rng.uniform(0.5, 2, shape).astype(dtype)


def distinct(*shape: int, step: float = 0.01) -> Draw:
    """Numbers one step apart, and at least .3 steps from every integer, for what has kinks."""

    def draw(rng: np.random.Generator, dtype: Any) -> np.ndarray:
        size = int(np.prod(shape))
        return ((rng.permutation(size) - size // 2 + 0.3) * step).reshape(shape).astype(dtype)

    return draw


def boxes(n: int) -> Draw:
    """Boxes x, y, w, h of which many overlap, and some are empty."""

    def draw(rng: np.random.Generator, dtype: Any) -> np.ndarray:
        sizes = np.maximum(rng.uniform(-0.02, 0.4, (n, 2)), 0)
        return np.hstack([rng.uniform(0, 1, (n, 2)), sizes]).astype(dtype)

    return draw


def scores(n: int) -> Draw:
    """Scores of which some are equal."""
    return lambda rng, dtype: (rng.integers(0, n, n) / n).astype(dtype)


@dataclass(frozen=True)
class Case:
    """One call of an op.

    arrays     what draws each array; numbers are the keyword arguments
    tolerance  largest difference allowed, in terms of the largest value of the answer. A float32
               is exact to 6e-8; a sum of k products in another order differs by some 6e-8 sqrt(k)
    macs       multiply-adds of the call
    timed      of a size worth timing
    """

    op: str
    name: str
    arrays: tuple[Draw, ...]
    numbers: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6
    macs: int = 0
    timed: bool = False

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def draw(self, dtype: Any = np.float32) -> list[np.ndarray]:
        """Return the arrays, in every run the same."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        return [one(rng, dtype) for one in self.arrays]


def conv(
    c: int,
    size: int | tuple[int, int],
    f: int,
    k: int,
    stride: int | tuple[int, int] = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    n: int = 1,
    timed: bool = False,
) -> Case:
    h, w = (size, size) if isinstance(size, int) else size
    down, right = (stride, stride) if isinstance(stride, int) else stride
    name = f"{n}x{c}x{h}x{w}-f{f}-k{k}-s{down}{right}-p{padding}-d{dilation}-g{groups}"
    rows, cols = (
        conv_output(cells, k, step, padding, dilation) for cells, step in ((h, down), (w, right))
    )
    numbers = {
        "stride": (down, right),
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }
    depth = c // groups * k * k
    return Case(
        "conv2d",
        name,
        (normal(n, c, h, w), normal(f, c // groups, k, k)),
        numbers,
        tolerance=3e-7 * max(4, depth**0.5),
        macs=n * f * rows * cols * depth,
        timed=timed,
    )


def pool(
    op: str, shape: tuple[int, ...], size: int, stride: tuple[int, int], padding: int, timed=False
) -> Case:
    name = f"{'x'.join(map(str, shape))}-k{size}-s{stride[0]}{stride[1]}-p{padding}"
    numbers = {"size": size, "stride": stride, "padding": padding}
    return Case(op, name, (distinct(*shape),), numbers, timed=timed)


def norm(n: int, c: int, h: int, w: int, timed: bool = False) -> Case:
    arrays = (normal(n, c, h, w), normal(c), normal(c), normal(c), positive(c))
    return Case("batchnorm", f"{n}x{c}x{h}x{w}", arrays, timed=timed)


def activation(name: str, *shape: int, timed: bool = False) -> Case:
    label = f"{name}-{'x'.join(map(str, shape))}"
    step = 1e-6 if timed else 0.1  # from -10 to 10, or so
    return Case("activate", label, (distinct(*shape, step=step),), {"name": name}, timed=timed)


def suppression(n: int, kind: str, thresh: float = 0.45, timed: bool = False) -> Case:
    numbers = {"thresh": thresh, "kind": kind, "beta": 0.8}
    return Case("nms", f"{n}-{kind}-{thresh}", (boxes(n), scores(n)), numbers, timed=timed)


CONVOLUTIONS = [
    # kernel x stride x padding x size of the map, of one channel to one filter
    *(
        conv(1, size, 1, k, stride, padding)
        for k, stride, padding, size in product((1, 2, 3, 5, 7), (1, 2, 3), (0, 1, 3), (7, 12))
    ),
    *(conv(3, (9, 14), 5, k, (2, 1), 1) for k in (1, 2, 3)),
    *(conv(3, (9, 14), 5, k, (1, 3), k // 2) for k in (1, 3, 5)),
    *(conv(4, 11, 6, 3, s, 2 * d, d) for s, d in product((1, 2), (2, 3, 5))),
    conv(8, 1, 5, 1),
    conv(8, 1, 5, 3, padding=1),
    conv(8, (1, 9), 5, 3, padding=1),
    conv(8, (9, 1), 5, 3, 2, padding=1),
    conv(2, 2, 3, 7, padding=3),
    conv(16, 5, 48, 3, padding=1),  # more filters than places
    conv(300, 6, 40, 3, padding=1),
    conv(6, 10, 4, 1, groups=2),
    conv(6, 10, 4, 3, padding=1, groups=2),  # few channels a group: summed without a product
    conv(24, 9, 36, 3, padding=1, groups=2),  # many
    conv(6, 9, 12, 5, 2, padding=2, groups=6),  # two filters a channel
    *(conv(8, (9, 12), 8, k, s, k // 2, groups=8) for k, s in product((1, 2, 3, 5, 7), (1, 2, 3))),
    conv(5, 13, 5, 3, (2, 1), 4, 4, groups=5),
    conv(4, 8, 4, 3, 2, 1, groups=4),  # the blur of antialiasing=1
    conv(4, 8, 4, 2, 2, 0, groups=4),  # the blur of antialiasing=2
    conv(3, (11, 8), 4, 3, 2, 1, n=3),
    conv(4, 9, 4, 3, 1, 1, groups=4, n=3),
    conv(4, 9, 6, 1, n=3),
    conv(32, 140, 8, 3, padding=1),  # columns in several bands
    conv(40, (5, 3000), 4, 3, padding=1),  # a row of them is a band
]

POOLS = [
    *(
        pool(op, (2, 3, 9, 12), size, (down, right), padding)
        for op, (size, down, right, padding) in product(
            ("maxpool", "local_avgpool"),
            (
                *((2, 2, 2, 1), (2, 1, 1, 1), (3, 2, 2, 2), (3, 1, 1, 0), (3, 1, 2, 2)),
                *((3, 3, 3, 1), (5, 1, 1, 4), (9, 1, 1, 8), (13, 1, 1, 12), (2, 2, 1, 0)),
                *((4, 3, 5, 7), (1, 1, 1, 0), (1, 2, 2, 0)),
            ),
        )
    ),
    *(pool(op, (1, 2, 1, 1), 5, (1, 1), 4) for op in ("maxpool", "local_avgpool")),
    *(pool(op, (1, 2, 3, 1), 40, (3, 3), 39) for op in ("maxpool", "local_avgpool")),
]

ACTIVATES = [activation(name, 2, 3, 5, 7) for name in ACTIVATIONS]

NORMS = [norm(1, 1, 1, 1), norm(1, 5, 3, 7), norm(3, 4, 6, 2), norm(2, 3, 1, 1)]

SUPPRESSIONS = [
    suppression(n, kind, thresh)
    for n, kind, thresh in product(
        (0, 1, 2, 60), ("default", "cornersnms", "greedynms", "diounms"), (0.0, 0.45, 1.0)
    )
]

# Of no kernel of the processor's own yet: these rows are for their gradients.
OTHERS = [
    Case("bias", "channels", (normal(2, 3, 4, 5), normal(3))),
    Case("concat", "three", (normal(2, 1, 4, 3), normal(2, 3, 4, 3), normal(2, 2, 4, 3))),
    Case("channels", "middle", (normal(2, 6, 3, 4),), {"start": 2, "count": 3}),
    Case(
        "crop",
        "mirrored",
        (normal(2, 3, 6, 7),),
        {
            "places": [(1, 2, False), (0, 3, True)],
            "height": 4,
            "width": 3,
            "scale": 2,
            "offset": -1,
        },
    ),
    Case("linear", "vectors", (normal(3, 2, 3, 4), normal(5, 24))),
    *(
        Case(
            "local",
            f"s{stride}-p{padding}",
            (normal(2, 3, 6, 5), normal(*places, 4, 3, 3, 3), normal(4, *places)),
            {"stride": stride, "padding": padding},
        )
        for stride, padding, places in ((1, 0, (4, 3)), (1, 1, (6, 5)), (2, 1, (3, 3)))
    ),
    *(
        Case(
            "lrn",
            f"size{size}",
            (normal(2, 7, 3, 2),),
            {"size": size, "alpha": 0.3, "beta": 0.75, "kappa": 1.0},
        )
        for size in (1, 3, 4, 5)
    ),
    *(
        Case("multiply", "x".join(map(str, shape)), (normal(2, 3, 4, 5), normal(*shape)))
        for shape in ((2, 3, 4, 5), (2, 3, 1, 1), (2, 1, 4, 5))
    ),
    Case("maxpool_depth", "even", (distinct(2, 6, 3, 4),), {"channels": 2}),
    Case("maxpool_depth", "odd", (distinct(2, 7, 3, 4),), {"channels": 3}),
    Case("avgpool", "whole", (normal(2, 3, 4, 5),)),
    Case("zero_nonmax", "size3", (distinct(2, 3, 5, 6),)),
    Case("repeat", "four", (normal(3, 4, 5), normal(4, 1, 1, 1))),
    *(
        Case("shortcut", "x".join(map(str, shape)), (normal(2, 4, 6, 6), normal(*shape)))
        for shape in ((2, 4, 6, 6), (2, 2, 6, 6), (2, 5, 6, 6), (2, 4, 3, 3), (2, 3, 12, 12))
    ),
    Case("shortcut", "two", (normal(2, 4, 6, 6), normal(2, 4, 6, 6), normal(2, 3, 6, 6))),
    *(
        Case(
            "weighted_shortcut",
            f"weights{c}",
            (normal(1, 3, c, 1), normal(2, 4, 6, 6), normal(2, 4, 6, 6), normal(2, 3, 3, 3)),
        )
        for c in (1, 4)
    ),
    Case("softmax", "channels", (normal(2, 5, 3, 2),), {"temperature": 2.0}),
    Case("softmax", "runs", (normal(2, 12, 1, 1),), {"counts": (3, 5, 1)}),
    *(
        Case("upsample", f"{stride}", (normal(2, 3, 4, 5),), {"stride": stride, "scale": 0.5})
        for stride in (1, 2, 3)
    ),
    *(
        Case(op, f"{stride}", (normal(2, stride**4, 2 * stride, 3 * stride),), {"stride": stride})
        for op, stride in product(
            ("reorg", "reorg_inverse", "space_to_depth", "depth_to_space"), (1, 2, 3)
        )
    ),
]

TIMED = [
    conv(3, 416, 32, 3, padding=1, timed=True),
    conv(32, 416, 64, 3, 2, 1, timed=True),
    conv(64, 104, 128, 3, padding=1, timed=True),
    conv(256, 26, 512, 3, padding=1, timed=True),
    conv(512, 13, 1024, 3, padding=1, timed=True),
    conv(256, 52, 128, 1, timed=True),
    conv(1024, 13, 512, 1, timed=True),
    conv(192, 40, 192, 3, padding=1, groups=192, timed=True),
    conv(448, 10, 448, 3, padding=1, groups=448, timed=True),
    conv(64, 80, 64, 3, 2, 1, groups=64, timed=True),
    conv(256, 28, 256, 3, 1, 1, groups=32, timed=True),
    *(activation(name, 1, 64, 208, 208, timed=True) for name in ("leaky", "mish", "swish", "relu")),
    norm(1, 64, 208, 208, timed=True),
    pool("maxpool", (1, 16, 416, 416), 2, (2, 2), 1, timed=True),
    *(pool("maxpool", (1, 512, 13, 13), k, (1, 1), k - 1, timed=True) for k in (5, 9, 13)),
    suppression(1000, "default", timed=True),
    suppression(1000, "greedynms", timed=True),
]

CASES = [*CONVOLUTIONS, *POOLS, *ACTIVATES, *NORMS, *SUPPRESSIONS, *OTHERS, *TIMED]
