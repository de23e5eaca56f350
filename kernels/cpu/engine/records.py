"""What the engine's parts hand each other: maps in memory, kernels by name, rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

LANES = (
    16  # channels of a block, side by side; 64 bytes, two or more registers where they are narrow
)
CELL = 4 * LANES  # bytes of one cell of a block


@dataclass(frozen=True)
class Map:
    """A map (n, c, h, w) in memory, blocked or planar, with zeros around it.

    address  of the first cell: picture 0, channel 0, row 0, column 0; of a blocked map a multiple
             of 64, and so are its strides
    block    channels side by side: 16 (32 of bf16), or 1 if the map is planar
    image, plane, row  strides in bytes from picture to picture, block to block, row to row; cells
    of
             a row follow each other without gaps
    border   cells (top, left, bottom, right) around each plane that hold zeros when the map is read
    bytes    of a number: 4 for float32, 2 for bf16

    A blocked map has ceil(c / block) blocks; channels beyond c hold zeros.
    """

    address: int
    n: int
    c: int
    h: int
    w: int
    block: int
    image: int
    plane: int
    row: int
    border: tuple[int, int, int, int] = (0, 0, 0, 0)
    bytes: int = 4

    @property
    def blocks(self) -> int:
        """The number of blocks of channels."""
        return -(-self.c // self.block)

    @property
    def cell(self) -> int:
        """Bytes from column to column."""
        return self.bytes * self.block


class Kernel(NamedTuple):
    """Vector code by name: ``emit/<file>.py`` has ``<name>(code, **params)`` that writes it."""

    file: str
    name: str
    params: tuple[tuple[str, int | str | bool], ...]

    def __str__(self) -> str:
        return f"{self.file}.{self.name}({', '.join(f'{k}={v}' for k, v in self.params)})"


def kernel(file: str, name: str, **params: int | str | bool) -> Kernel:
    """Return the name of a kernel; addresses are found for all of a plan at once."""
    return Kernel(file, name, tuple(sorted(params.items())))


class Shared(NamedTuple):
    """An argument that will be an address in memory that all threads share, for this op alone."""

    offset: int = 0


class Packed(NamedTuple):
    """An argument that will be the address of an array that the plan keeps (weights, biases)."""

    array: object  # a numpy array whose address is a multiple of 64


class Given(NamedTuple):
    """An argument that will be the address of what a call is given under a name."""

    name: object


class Row(NamedTuple):
    """One row of the table: run ``driver`` for each of ``tasks``, then wait for all threads.

    driver   "file.name": ``drivers/<file>.py`` has the function
    args     int, Kernel, Shared, Packed or Given; the driver reads them as int64
    tasks    how often it runs; tasks of a row may run at once and in any order
    scratch  bytes of its own memory that a thread needs; it holds nothing from task to task
    shared   bytes of common memory that the op needs, the same for all rows of an op
    barrier  whether the next row may begin only when all tasks are done
    """

    driver: str
    args: tuple[object, ...]
    tasks: int
    scratch: int = 0
    shared: int = 0
    barrier: bool = True
