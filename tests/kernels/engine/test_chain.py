"""Chains of convolutions, stripe by stripe, against the reference in float64."""

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.common.geometry import conv_output
from darkpy.kernels.cpu.engine import chain, depthwise, packing, target
from darkpy.kernels.cpu.engine.packing import aligned
from tests.kernels.engine.maps import blocked, execute
from tests.kernels.engine.spills import TARGETS, assembly, spills

TOLERANCE = 3e-6  # three float32 sums of up to 200 products, of the largest value
reference = ops("reference")

# channels of x, between, of y (None: that part is missing), (h, w), size, stride, stripes
SHAPES = [
    (32, 192, 32, (12, 40), 3, 1, 2),
    (20, 70, 40, (11, 13), 3, 1, 3),
    (8, 48, 16, (16, 18), 3, 2, 2),
    (16, 17, 24, (13, 31), 5, 2, 4),
    (24, 272, 48, (9, 7), 5, 1, 1),
    (16, 16, 8, (9, 160), 3, 1, 2),
    (None, 40, 24, (13, 14), 5, 1, 4),
    (None, 144, 144, (5, 20), 3, 2, 1),
    (40, 90, None, (13, 31), 3, 1, 4),
    (3, 4, None, (6, 5), 2, 2, 3),
]


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


class Drawn:
    """A chain with drawn weights: its parts, and what they make of x in float64."""

    def __init__(self, c, between, f, size, stride, activations):
        self.size, self.stride = size, stride
        self.padding = size // 2
        self.geometry = {"size": size, "stride": stride, "padding": self.padding}
        self.truths = []
        first, second, third = activations
        self.expand = self.pointwise(c, between, first) if c else None
        self.alone = self.each(between, second)
        self.project = self.pointwise(between, f, third) if f else None

    def pointwise(self, c, f, activation):
        w = aligned((f, c, 1, 1))
        w[...] = drawn(w.shape, c) / np.sqrt(c)
        packed = aligned(packing.packed_shape(w.shape))
        execute(packing.pack(w.ctypes.data, packed, shape=w.shape))
        return self.part(w, packed, activation, {"stride": (1, 1), "padding": 0, "groups": 1})

    def each(self, c, activation):
        w = aligned((c, 1, self.size, self.size))
        w[...] = drawn(w.shape, 1) / self.size
        packed = aligned(depthwise.packed_shape(w.shape))
        execute(depthwise.pack(w.ctypes.data, packed, shape=w.shape))
        how = {"stride": (self.stride,) * 2, "padding": self.padding, "groups": c}
        return self.part(w, packed, activation, how)

    def part(self, w, packed, activation, how):
        bias = aligned(-(-len(w) // 16) * 16)
        bias[: len(w)] = drawn(len(w), 2)
        b = bias[: len(w), None, None].astype(float)
        self.truths.append((w.astype(float), b, activation, {"dilation": 1, **how}))
        return chain.Part(packed, bias, activation)

    def want(self, x, residual=None, first=False):
        """Return what the chain makes of x, the residual added before the last activation or
        after."""
        for i, (w, b, activation, how) in enumerate(self.truths):
            add = residual if residual is not None and i == len(self.truths) - 1 else 0.0
            x = reference.conv2d(x, w, **how) + b
            x = reference.activate(x + add, activation) if first else (
                reference.activate(x, activation) + add
            )  # fmt: skip
        return x


def near(got, want):
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE * max(1, np.abs(want).max()))


def run(shape, n=1, activations=("leaky", "leaky", "linear"), how=None):
    """Run a chain twice, whose scratch then holds what it left; compare."""
    c, between, f, (h, w), size, stride, stripes = shape
    made = Drawn(c, between, f, size, stride, activations)
    into = c or between
    x = blocked(n, into, h, w, border=0 if c else size // 2).put(drawn((n, into, h, w), 3))
    size_of_y = [conv_output(one, size, stride, size // 2, 1) for one in (h, w)]
    y = blocked(n, f or between, *size_of_y, border=(1, 0, 2, 1))
    r = blocked(n, f, *size_of_y).put(drawn((n, f, *size_of_y), 4)) if how else None
    rows = chain.conv2d(
        x.map, y.map, expand=made.expand, alone=made.alone, project=made.project, **made.geometry,
        stripes=stripes, residual=r.map if r else None, residual_first=how == "before",
    )  # fmt: skip
    execute(rows, 2)
    execute(rows, 3)
    add = r.get().astype(float) if r else None
    near(y.get(), made.want(x.get().astype(float), add, how == "before"))
    y.check()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_chain_agrees(shape):
    run(shape, n=2)


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("activation", ["linear", "mish"])
@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[5]], ids=str)
def test_residual_is_added_after_or_before_the_activation(shape, activation, how):
    run(shape, activations=("relu6", "swish", activation), how=how)


@pytest.mark.parametrize("name", target.narrower())
def test_lesser_processors_agree(engine_for, name):
    engine_for(target.narrower()[name])
    run(SHAPES[1], how="after")
    run(SHAPES[3])


@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 5, 7, 12, 17, 28])
@pytest.mark.parametrize("most", [1, 2, 3, 7])
@pytest.mark.parametrize("registers", [4, 8, 32])
def test_chunks_are_all_blocks_in_calls_of_whole_tiles(blocks, most, registers):
    found = chain.chunked(blocks, most, 2, registers)
    assert found.size * found.many + found.rest == blocks
    assert found.size % found.filters[0] == found.rest % found.filters[1] == 0
    assert max(found.filters) <= (3 if registers == 32 else 1)
    assert found.size <= max(most, found.filters[0])


@pytest.mark.parametrize("size, stride", [(3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("name", TARGETS)
def test_rows_of_channels_alone_park_nothing_on_the_stack(name, size, stride):
    registers = TARGETS[name].registers
    cells = depthwise.most(registers, stride)
    text = assembly(
        "depthwise", "line", TARGETS[name], size=size, stride=stride, dilation=1, cells=cells,
        keep=depthwise.kept(size, cells, registers), activation="leaky",
    )  # fmt: skip
    assert spills(text) == []


@pytest.mark.parametrize("begin", ["bias", "sums"])
@pytest.mark.parametrize("name", TARGETS)
def test_tiles_park_nothing_on_the_stack(name, begin):
    registers = TARGETS[name].registers
    for filters in (1, 2, 3) if registers == 32 else (1,):
        text = assembly(
            "chain", "pointwise", TARGETS[name], filters=filters,
            cells=chain.MOST[registers][filters], unroll=1 if registers == 32 else 2, begin=begin,
            activation="leaky", residual="before",
        )  # fmt: skip
        assert spills(text) == []
