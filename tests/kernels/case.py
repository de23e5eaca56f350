"""What a case of the kernels is, and how one is made for each kind of op; `cases` is the table."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from darkpy.kernels.common.geometry import conv_output, pool_output
from darkpy.kernels.reference import maxpool, maxpool_depth

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


def equal(*shape: int) -> Draw:
    """Whole numbers, of which many are equal."""
    return lambda rng, dtype: rng.integers(-2, 3, shape).astype(dtype)


def table(*numbers: tuple[int, ...]) -> Draw:
    """Rows of numbers as they are given."""
    return lambda rng, dtype: np.array(numbers, dtype)


def deepest(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Add to dy and x the largest of x over groups of channels."""
    dy, x = arrays
    return [dy, x, maxpool_depth(x, channels=dy.shape[1])]


def boxes(n: int) -> Draw:
    """Boxes x, y, w, h of which many overlap, and some are empty."""

    def draw(rng: np.random.Generator, dtype: Any) -> np.ndarray:
        sizes = np.maximum(rng.uniform(-0.02, 0.4, (n, 2)), 0)
        return np.hstack([rng.uniform(0, 1, (n, 2)), sizes]).astype(dtype)

    return draw


def scores(n: int) -> Draw:
    """Scores of which some are equal."""
    return lambda rng, dtype: (rng.integers(0, n, n) / n).astype(dtype)


def picture(h: int, w: int, c: int = 3) -> Draw:
    """A picture of bytes, whatever dtype is asked for."""
    return lambda rng, dtype: rng.integers(0, 256, (h, w, c), np.uint8)


@dataclass(frozen=True)
class Case:
    """One call of an op.

    arrays     what draws each array; numbers are the keyword arguments
    tolerance  largest difference allowed, in terms of the largest value of the answer. A float32
               is exact to 6e-8; a sum of k products in another order differs by some 6e-8 sqrt(k)
    macs       multiply-adds of the call
    given      makes the arrays of the call from those drawn, where some follow from others
    changes    which of its arrays the op changes; they are its answer
    timed      of a size worth timing
    """

    op: str
    name: str
    arrays: tuple[Draw, ...]
    numbers: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-6
    macs: int = 0
    timed: bool = False
    given: Callable[[list[np.ndarray]], list[np.ndarray]] = list
    changes: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.op}-{self.name}"

    def draw(self, dtype: Any = np.float32) -> list[np.ndarray]:
        """Return the arrays, in every run the same."""
        rng = np.random.default_rng(zlib.crc32(str(self).encode()))
        return self.given([one(rng, dtype) for one in self.arrays])

    def answers(self, ops: Any, arrays: list[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return what the op of a device gives, or the arrays that it has changed."""
        answer = getattr(ops, self.op)(*arrays, **self.numbers)
        if self.changes:
            return tuple(arrays[i] for i in self.changes)
        return answer if isinstance(answer, tuple) else (answer,)


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


def conv_grads(case: Case) -> tuple[Case, Case]:
    """Return the cases of both gradients of a convolution."""
    (n, c, h, w), (f, _, k, _) = (x.shape for x in case.draw())
    numbers = case.numbers
    down, right = numbers["stride"]
    rows, cols = (
        conv_output(cells, k, step, numbers["padding"], numbers["dilation"])
        for cells, step in ((h, down), (w, right))
    )
    delta = normal(n, f, rows, cols)
    terms = {"weight": n * rows * cols, "input": f * k * k // numbers["groups"]}
    weight, input_ = (
        replace(case, op=f"conv2d_{what}_grad", tolerance=3e-7 * max(4, count**0.5))
        for what, count in terms.items()
    )
    return (
        replace(weight, arrays=(delta, case.arrays[0]), numbers={**numbers, "size": k}),
        replace(input_, arrays=(delta, case.arrays[1]), numbers={**numbers, "shape": (n, c, h, w)}),
    )


def pool_grad(case: Case) -> Case:
    """Return the case of the gradient of a maxpool; of its cells some are equal."""
    n, c, h, w = case.draw()[0].shape
    size, (down, right), padding = (case.numbers[k] for k in ("size", "stride", "padding"))
    rows, cols = pool_output(h, size, down, padding), pool_output(w, size, right, padding)

    def given(arrays: list[np.ndarray]) -> list[np.ndarray]:
        dy, x = arrays
        x = x.round(1)
        return [dy, x, maxpool(x, **case.numbers)]

    return replace(
        case,
        op="maxpool_grad",
        arrays=(normal(n, c, rows, cols), distinct(n, c, h, w)),
        given=given,
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


def norm_grad(case: Case) -> Case:
    """Return the case of the gradients of a batch normalisation, all sums of many values."""
    delta, scales, mean, variance = (case.arrays[i] for i in (0, 1, 3, 4))
    return replace(
        case,
        op="batchnorm_grad",
        arrays=(delta, normal(*case.draw()[0].shape), scales, mean, variance),
        tolerance=1e-5,
    )


def statistics(case: Case) -> Case:
    """Return the case of the statistics of what is normalised."""
    return replace(case, op="batch_statistics", arrays=case.arrays[:1], tolerance=1e-5)


def activation_grad(case: Case) -> Case:
    """Return the case of the gradient of an activation."""
    shape = case.draw()[0].shape
    return replace(case, op="activate_grad", arrays=(normal(*shape), *case.arrays), tolerance=2e-6)


def activation(name: str, *shape: int, timed: bool = False) -> Case:
    label = f"{name}-{'x'.join(map(str, shape))}"
    step = 1e-6 if timed else 0.1  # from -10 to 10, or so
    return Case("activate", label, (distinct(*shape, step=step),), {"name": name}, timed=timed)


def suppression(n: int, kind: str, thresh: float = 0.45, timed: bool = False) -> Case:
    numbers = {"thresh": thresh, "kind": kind, "beta": 0.8}
    return Case("nms", f"{n}-{kind}-{thresh}", (boxes(n), scores(n)), numbers, timed=timed)


def resizing(old: tuple[int, int], new: tuple[int, int], c: int = 3, timed: bool = False) -> Case:
    numbers = {"h": new[0], "w": new[1]}
    name = f"{old}-{new}-{c}"
    return Case("resize_picture", name, (picture(*old, c),), numbers, tolerance=0, timed=timed)


SGD = {"rate": 0.01, "momentum": 0.9, "decay": 0.0005, "batch": 8}
ADAM = {"rate": 0.01, "B1": 0.9, "B2": 0.999, "eps": 1e-6, "decay": 0.0005, "batch": 8, "t": 3}


def steps(name: str, *shape: int, timed: bool = False) -> list[Case]:
    """Return a step of each optimizer on parameters of a shape."""
    one, spread = normal(*shape), positive(*shape)
    return [
        Case("sgd_step", name, (one, one, one), SGD, timed=timed, changes=(0, 2)),
        Case("adam_step", name, (one, one, one, spread), ADAM, timed=timed, changes=(0, 2, 3)),
        Case("ema_step", name, (one, one), {"alpha": 0.998}, timed=timed, changes=(0,)),
    ]
