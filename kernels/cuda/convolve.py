"""Convolution and the gradient of its input on tensor cores: geometry, tiles, launches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from .choices import Question
from .device import HOPPER, Counters, Device, Launch, Map, Scratch, act, struct
from .packing import POLICIES, padded

__all__ = ["convolve", "input_grad"]

MOST_TAPS = 32  # along an axis


@dataclass(frozen=True)
class Tile:
    """What a block computes: pixels by filters, what each of its warps does, and stages of copies.

    rate  multiply-adds a cycle of 16 bits that a full processor of an H200 makes of it: what its
          instructions, its products, shared memory and the L2 cache allow, by the SASS of a step
    step  bytes of a row of an operand at a time: DEPTH pieces of the source
    """

    pixels: int
    filters: int
    warp_pixels: int
    warp_filters: int
    stages: int
    rate: int
    step: int = 64

    @property
    def threads(self) -> int:
        """Threads of a block."""
        return self.pixels // self.warp_pixels * (self.filters // self.warp_filters) * 32

    @property
    def shared(self) -> int:
        """Bytes of shared memory: the stages, and after them the sums with their statistics."""
        stages = self.stages * (self.pixels + self.filters) * self.step
        return max(stages, 4 * (self.pixels * (self.filters + 8) + 2 * self.threads))

    @property
    def kernel(self) -> str:
        """The kernel that computes it, of the source of that name."""
        return "convolve" if self.step == 64 else "convolve_wgmma"

    @property
    def words(self) -> str:
        """What tells it from others, in a few words: "128x64", "128x64 wgmma"."""
        return f"{self.pixels}x{self.filters}{' wgmma' if self.step > 64 else ''}"

    @property
    def name(self) -> str:
        """Its template arguments."""
        warps = (self.warp_pixels, self.warp_filters) if self.step == 64 else ()
        return ", ".join(map(str, (self.pixels, self.filters, *warps, self.stages)))


TILES = (
    Tile(128, 128, 64, 32, 4, 1000),
    Tile(128, 64, 64, 32, 4, 900),
    Tile(64, 64, 32, 32, 4, 680),
    Tile(128, 32, 32, 32, 4, 610),
    Tile(32, 64, 16, 32, 4, 450),
    Tile(32, 32, 16, 16, 4, 310),
)
HOPPER_TILES = (  # four warps compute 64 pixels together
    Tile(128, 256, 16, 256, 4, 1800, 128),
    Tile(128, 128, 16, 128, 4, 1500, 128),
    Tile(128, 64, 16, 64, 4, 1000, 128),
)
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16)
ALONE = 220  # cycles of 64 bytes of a block that has a processor to itself: what nothing hides
LAUNCH = 2500  # cycles of filling the stages and of writing the sums
JOIN = 800  # more of them where the sum is split; the last block of a tile then reads all splits,
READ = 16  # so many sums a cycle
NEAR = 8  # ways of those expected to take least that are worth measuring
RESIDENT = 2  # blocks of a processor that hide each other's beginning and end, if both have room
SHARED = 227 << 10  # bytes of shared memory of Hopper's blocks
SLOWER = {"fp16": 1, "bf16": 1, "tf32": 2, "fp32": 6}  # cycles of a multiply-add, against fp16's

Way = tuple[Tile, int]  # and splits of the sum


@dataclass(frozen=True)
class Axis:
    """The taps of a window along one axis, as implicit.cuh has them."""

    count: int
    first: int
    step: int
    stride: int
    offset: int
    delta: int


@dataclass(frozen=True)
class Part:
    """What one launch computes of a map: output (i, j) is its pixel (i steps + first, ...)."""

    rows: int
    columns: int
    y: Axis
    x: Axis
    steps: tuple[int, int] = (1, 1)
    first: tuple[int, int] = (0, 0)


def convolve(
    device: Device,
    y: Map,
    x: Map,
    weights: Any,
    bias: Any = None,
    residual: Map | None = None,
    *,
    size: int,
    stride: Sequence[int] = (1, 1),
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    activation: str = "linear",
    residual_first: bool = False,
    repeat: int = 1,
    partials: Any = None,
    precision: str = "fp16",
    tile: Tile | None = None,
    splits: int | None = None,
) -> list[Launch]:
    """y = activation(x * weights + bias) + residual.

    weights    as `packing.pack` gives them, of the type of x; bias (filters,) or None
    residual   a map like y, of its type; added before the activation if ``residual_first``
    repeat     write each pixel so many times, down and to the right: an upsample
    partials   (blocks, 2, filters) float32, mean and summed squares of deviations of each block of
               ``tile.pixels`` sums, for batch norm; `choose` tells the tile
    tile, splits  None: as `choose` says
    """
    taps = [Axis(size, 0, 1, step, -padding, dilation) for step in stride]
    part = Part(y.h // repeat, y.w // repeat, *taps, (repeat, repeat))
    return _launch(
        device, part, y, x, weights, bias, residual, size, groups, activation, residual_first,
        repeat, partials, precision, tile, splits,
    )  # fmt: skip


def input_grad(
    device: Device,
    dx: Map,
    dy: Map,
    weights: Any,
    residual: Map | None = None,
    *,
    size: int,
    stride: Sequence[int] = (1, 1),
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    precision: str = "fp16",
    tile: Tile | None = None,
    splits: int | None = None,
) -> list[Launch]:
    """dx = the gradient of a convolution's input, plus residual: a gradient that is there already.

    weights  as `packing.pack` gives them with ``turned``
    stride, padding, dilation  those of the convolution

    With a stride, each remainder of a pixel's place has its own taps, and a launch.
    """
    launches = []
    for rows, first_row, down in _remainders(dx.h, size, stride[0], padding, dilation):
        for columns, first_column, right in _remainders(dx.w, size, stride[1], padding, dilation):
            first = (first_row, first_column)
            part = Part(rows, columns, down, right, (stride[0], stride[1]), first)
            launches += _launch(
                device, part, dx, dy, weights, None, residual, size, groups, "linear", False,
                1, None, precision, tile, splits,
            )  # fmt: skip
    return launches


def _remainders(
    cells: int, size: int, stride: int, padding: int, dilation: int
) -> Iterator[tuple[int, int, Axis]]:
    """Yield (count, first, taps) of cells first, first + stride, ... of a gradient's axis.

    Cell p had part in output o through tap k where p = o stride - padding + k dilation.
    """
    for first in range(min(stride, cells)):
        taps = [k for k in range(size) if (first + padding - k * dilation) % stride == 0]
        step = taps[1] - taps[0] if len(taps) > 1 else 1
        offset = (first + padding - taps[0] * dilation) // stride if taps else 0
        axis = Axis(
            len(taps), taps[0] if taps else 0, step, 1, offset, -(step * dilation) // stride
        )
        yield -(-(cells - first) // stride), first, axis


def _launch(
    device: Device,
    part: Part,
    y: Map,
    x: Map,
    weights: Any,
    bias: Any,
    residual: Map | None,
    size: int,
    groups: int,
    activation: str,
    residual_first: bool,
    repeat: int,
    partials: Any,
    precision: str,
    tile: Tile | None,
    splits: int | None,
) -> list[Launch]:
    """Return the launch that computes a part of y."""
    channels = padded(x.c // groups, x.type)
    filters = y.c // groups
    pixels = y.n * part.rows * part.columns
    depth = part.y.count * part.x.count * channels
    _refuse(size, groups, x, y)
    common: dict[str, Any] = dict(
        rows=x.h, columns=x.w, pitch=x.pitch, channels=channels, filters=filters, groups=groups,
        out_rows=part.rows, out_columns=part.columns, pixels=pixels, window_columns=size,
        window=size * size, **_fields("y", part.y), **_fields("x", part.x),
        y_rows=y.h, y_columns=y.w, y_pitch=y.pitch, row_step=part.steps[0],
        column_step=part.steps[1], first_row=part.first[0], first_column=part.first[1],
        repeat=repeat,
        residual_pitch=residual.pitch if residual else 0, residual_first=int(residual_first),
    )  # fmt: skip

    def launches(way: Way) -> list[Launch]:
        tile, splits = way
        sizes = struct(**common, splits=splits)
        grid = (-(-pixels // tile.pixels), -(-filters // tile.filters) * groups, splits)
        tiles = grid[0] * grid[1]
        split = splits > 1
        sums = Scratch(tiles * splits * tile.pixels * tile.filters if split else 0)
        name = f"{tile.kernel}<{POLICIES[precision]}, {y.name}, {act(activation)}, {tile.name}>"
        args = (
            x.array, weights, bias, residual.array if residual else None, y.array, partials,
            sums if split else None, Counters(tiles) if split else None, sizes,
        )  # fmt: skip
        return [Launch(f"{tile.kernel}.cu", name, grid, (tile.threads,), args, tile.shared)]

    question = _question(device, pixels, filters, groups, depth, x.piece, precision)
    if tile is None and splits is None:
        return device.choices.launches(question, launches)
    known = device.choices.way(question)
    return launches((tile or known[0], splits or known[1]))


def _fields(name: str, axis: Axis) -> dict[str, int]:
    return {f"{name}_{key}_": value for key, value in vars(axis).items()}


def _refuse(size: int, groups: int, x: Map, y: Map) -> None:
    if size > MOST_TAPS:
        raise ValueError(f"size = {size}: expected {MOST_TAPS} at most")
    if groups > 1 and (x.c // groups % x.piece or y.c // groups % y.piece):
        raise ValueError(f"groups = {groups}: expected groups of whole pieces of channels")


def choose(
    processors: int,
    pixels: int,
    filters: int,
    groups: int,
    depth: int,
    piece: int,
    precision: str,
    whole: bool = False,
    arch: int = 0,
    most_shared: int = SHARED,
) -> Way:
    """Return the tile and the splits of the sum for which least cycles are expected.

    whole  do not split
    arch   compute capability as a number
    most_shared  bytes of shared memory that a block may use
    """
    return ranked(
        processors, pixels, filters, groups, depth, piece, precision, whole, arch, most_shared
    )[0]


@cache
def ranked(
    processors: int,
    pixels: int,
    filters: int,
    groups: int,
    depth: int,
    piece: int,
    precision: str,
    whole: bool,
    arch: int,
    most_shared: int,
) -> tuple[Way, ...]:
    """Return all ways, that for which least cycles are expected first; arguments as of `choose`."""

    def cycles(way: Way) -> float:
        tile, splits = way
        blocks = -(-pixels // tile.pixels) * -(-filters // tile.filters) * groups * splits
        each = -(-blocks // processors)  # of the processor that has most
        numbers = tile.step // 16 * piece
        work = tile.pixels * tile.filters * numbers * SLOWER[precision] / tile.rate
        step = max(each * work, ALONE * tile.step // 64 * -(-each // 4))
        join = JOIN + tile.pixels * tile.filters * splits / READ if splits > 1 else 0
        steps = -(-depth // numbers)
        resident = min(RESIDENT, most_shared // tile.shared)
        return step * -(-steps // splits) + (LAUNCH + join) * -(-each // resident)

    most = 1 if whole else -(-depth // (4 * piece)) // 2
    known = [s for s in SPLITS if s == 1 or s <= most]
    hopper = arch == HOPPER and precision in ("fp16", "bf16")
    tiles = [one for one in TILES + HOPPER_TILES * hopper if one.shared <= most_shared]
    return tuple(sorted(((tile, s) for tile in tiles for s in known), key=cycles))


def _question(
    device: Device,
    pixels: int,
    filters: int,
    groups: int,
    depth: int,
    piece: int,
    precision: str,
) -> Question:
    """Return what decides on the tile and the splits; its ways are the `NEAR` that should take
    least, and of each tile the best."""

    def ways() -> dict[str, Way]:
        each = ranked(
            device.processors, pixels, filters, groups, depth, piece, precision,
            False, device.arch, device.most_shared,
        )  # fmt: skip
        best = {tile: (tile, splits) for tile, splits in reversed(each)}
        near = dict.fromkeys((*each[:NEAR], *best.values()))
        return {f"{tile.words}{f' / {s}' if s > 1 else ''}": (tile, s) for tile, s in near}

    share = f" in {groups} groups" if groups > 1 else ""
    return Question(f"{depth} -> {filters}{share} @{pixels} {precision}", ways)


def chosen(device: Device, y: Map, x: Map, *, size: int, groups: int = 1, precision: str) -> Way:
    """Return the tile and the splits that `convolve` takes for a whole map."""
    depth = size * size * padded(x.c // groups, x.type)
    question = _question(device, y.pixels, y.c // groups, groups, depth, x.piece, precision)
    way: Way = device.choices.way(question)
    return way


def statistics_room(pixels: int, filters: int) -> int:
    """Return the numbers of ``partials`` of a convolution, whatever its tile is."""
    least = min(one.pixels for one in TILES)
    return -(-pixels // least) * 2 * filters
