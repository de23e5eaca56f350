"""The gradient of a convolution's weights on tensor cores: tiles, splits, launches."""

from typing import Any

from .choices import Question
from .device import Device, Launch, Map, struct
from .packing import POLICIES, PRECISIONS, padded
from .partials import partials
from .window import at, window

FILE = "weight_grad.cu"
STEP = 64  # bytes of a column of an operand at a time: weight_grad.cu's ROWS pixels
STAGES = 3
WARPS = 16  # of a processor, to hide each other's waits
FEWEST = 4  # steps of a split
# Steps of a split of fp32 at most. Tensor cores cut off the last bits of a sum each time that they
# add to it, twice a step (Ootomo and Yokota 2022, https://arxiv.org/abs/2203.03341): 2^-24 of it on
# average, here 8e-6 at worst. Sums of parts are rounded as all float32 is.
MOST = 64
BLOCKS = 65535  # of a grid along z

Tile = tuple[int, int]  # filters by taps and channels, of a block
Way = tuple[Tile, int]  # and splits of the sum
PARTS = (4, 2, 8)  # quarters of the splits that suit a tile, which are worth measuring
TILES: tuple[Tile, ...] = ((32, 64), (64, 64), (128, 128))


def dense_weight_grad(
    device: Device,
    dw: Any,
    dy: Map,
    x: Map,
    *,
    size: int | tuple[int, int],
    groups: int = 1,
    precision: str = "fp16",
    accumulate: bool = False,
    tile: Tile | None = None,
    splits: int | None = None,
    **numbers: Any,
) -> list[Launch]:
    """dw (f, c / groups, size, size) = the gradient of the weights, or is added to what is there.

    size       or (rows, columns) of a window
    precision  as in `packing.PRECISIONS`, of the type of the maps
    tile       one of `TILES`; splits of the sum over pixels; None: what suits the sizes
    numbers    stride, padding, dilation
    """
    assert dy.type == x.type == PRECISIONS[precision], (dy.type, x.type, precision)
    filters, channels = dy.c // groups, padded(x.c // groups, x.type)
    high, wide = size if isinstance(size, tuple) else (size, size)
    columns = high * wide * channels
    rows = STEP // x.array.itemsize
    steps = -(-dy.pixels // rows)
    shape = {"channels": x.c // groups, "padded": channels, "taps": high * wide}
    windows = window(x, dy, size=size, **numbers)

    def launches(way: Way) -> list[Launch]:
        (m, n), splits = way
        share = -(-steps // splits)
        splits = -(-steps // share)
        parts, last = partials(splits, filters=dy.c, **shape, dw=dw, accumulate=accumulate)
        sizes = struct(
            filters=filters, channels=channels, groups=groups, pixels=dy.pixels, share=share
        )
        name = f"weight_grad<{POLICIES[precision]}, {m}, {n}>"
        args = (*at(dy), *at(x), parts, windows, sizes)
        grid = (-(-columns // n), -(-filters // m), groups * splits)
        return [Launch(FILE, name, grid, (2 * n,), args, STAGES * STEP * (m + n)), last]

    def suits(tile: Tile) -> int:
        return _splits(device.processors, tile, filters, columns, groups, steps, precision)

    def ways() -> dict[str, Way]:
        first = choose(filters, columns, precision)
        usable = TILES[:2] if precision == "fp32" else TILES
        least = -(-steps // MOST) if precision == "fp32" else 1
        found = [
            (one, min(max(suits(one) * part // 4, least), BLOCKS // groups, steps))
            for one in (first, *usable)
            for part in PARTS
        ]
        return {f"{m}x{n} / {s}": ((m, n), s) for (m, n), s in found}

    if tile is None and splits is None:
        share = f" in {groups} groups" if groups > 1 else ""
        what = f"weights {columns} -> {filters}{share} @{dy.pixels} {precision}"
        return device.choices.launches(Question(what, ways), launches)
    tile = tile or choose(filters, columns, precision)
    return launches((tile, suits(tile) if splits is None else splits))


def _splits(
    processors: int, tile: Tile, filters: int, columns: int, groups: int, steps: int, precision: str
) -> int:
    """Return into how many parts the sum over pixels is split so that it suits a tile."""
    m, n = tile
    tiles = -(-columns // n) * -(-filters // m) * groups
    splits = spread(processors * WARPS * 32 // (2 * n), tiles, steps)
    splits = max(splits, -(-steps // MOST)) if precision == "fp32" else splits
    return min(splits, BLOCKS // groups)


def choose(filters: int, columns: int, precision: str) -> Tile:
    """Return the largest tile that is not for the most part empty.

    The two parts of each float of fp32 take the registers of a larger one.
    """
    if filters <= 32:
        return TILES[0]
    return TILES[2] if filters > 64 and columns > 64 and precision != "fp32" else TILES[1]


def spread(blocks: int, tiles: int, steps: int) -> int:
    """Return the splits of a sum of ``steps`` so that all processors have work."""
    return max(1, min(blocks // tiles, steps // FEWEST))
