"""What the accesses of a launch cost by line: sectors of global memory, wavefronts of shared."""

import ctypes
from dataclasses import dataclass
from pathlib import Path

from .symbols import line_of


class _Traffic(ctypes.Structure):
    """``hostcuda::Traffic`` (runtime/statistics.h)."""

    _fields_ = (
        ("offset", ctypes.c_uint64),
        ("is_shared", ctypes.c_int),
        ("is_write", ctypes.c_int),
        ("requests", ctypes.c_uint64),
        ("lanes", ctypes.c_uint64),
        ("cost", ctypes.c_uint64),
        ("ideal", ctypes.c_uint64),
    )


@dataclass
class Traffic:
    """The accesses of one kind in one line.

    line      file, number and text
    space     "global" or "shared"
    kind      "read" or "write"
    requests  of warps
    lanes     that took part, in all
    cost      sectors of 32 bytes, or wavefronts of shared memory
    ideal     the least that the bytes asked for could cost
    """

    line: str
    space: str
    kind: str
    requests: int = 0
    lanes: int = 0
    cost: int = 0
    ideal: int = 0


def by_line(entries: ctypes.PyDLL, library: Path, code: str) -> list[Traffic]:
    """Return the traffic of the last launch, the dearest line first."""
    rows = (_Traffic * entries.hostcuda_traffic(None))()
    entries.hostcuda_traffic(rows)
    found: dict[tuple[str, str, str], Traffic] = {}
    for row in rows:
        space = "shared" if row.is_shared else "global"
        kind = "write" if row.is_write else "read"
        key = (line_of(library, row.offset, code), space, kind)
        sums = found.setdefault(key, Traffic(*key))
        for name in ("requests", "lanes", "cost", "ideal"):
            setattr(sums, name, getattr(sums, name) + getattr(row, name))
    return sorted(found.values(), key=lambda traffic: -traffic.cost)
