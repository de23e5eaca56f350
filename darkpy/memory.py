"""How much memory this machine has: to refuse at once what cannot fit; and giving some back."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CONTAINER = (  # where Linux tells a container its limit: control groups of version 2, then 1
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def physical_memory() -> int:
    """Return the bytes of memory this process may hope for; a very large number if unknown."""
    if sys.platform == "win32":
        return _windows()
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        total = sys.maxsize
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return min(total, _container(), sys.maxsize if limit == resource.RLIM_INFINITY else limit)


def give_back() -> None:
    """Let the system have what was freed, where the C library keeps it otherwise (glibc)."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def _container() -> int:
    for path in CONTAINER:
        try:
            return int(path.read_text())
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
    return sys.maxsize


def _windows() -> int:
    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")),
        )

    status = Status(length=ctypes.sizeof(Status))
    found = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined,unused-ignore]
    return int(status.total) if found else sys.maxsize
