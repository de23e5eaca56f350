"""The same tests on a GPU: kernels run there, by CuPy, on copies of numpy's arrays.

With `DARKPY_GPU_TESTS` set every `host_device` has kernels of this kind, so that what is tested on
the CPU is tested on the GPU unchanged (`benchmarks/bench_gpu.py` does so). Orders and checks are
those of the GPU then: its own, and none.
"""

import ctypes
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

VARIABLE = "DARKPY_GPU_TESTS"
ALIGNMENT = 256  # bytes: a copy lies as its original does


def asked() -> bool:
    """Tell whether the tests' kernels are to run on a GPU."""
    return bool(os.environ.get(VARIABLE))


def described() -> dict[str, int]:
    """Return what a Device is told of the GPU."""
    import cupy

    gpu = cupy.cuda.Device(0)
    return {
        "arch": int(gpu.compute_capability),
        "processors": gpu.attributes["MultiProcessorCount"],
        "most_shared": gpu.attributes["MaxSharedMemoryPerBlockOptin"],
    }


class RawModule:
    """`cupy.RawModule` for numpy's arrays; settings have no meaning here."""

    def __init__(
        self,
        code: str,
        options: Sequence[str] = (),
        name_expressions: Sequence[str] = (),
        settings: object = None,
    ) -> None:
        import cupy

        self.cupy = cupy
        hopper = cupy.cuda.Device(0).compute_capability == "90"
        own = ("-arch=sm_90a",) if hopper else ()
        self.module = cupy.RawModule(
            code=code, options=(*options, *own), name_expressions=tuple(name_expressions)
        )

    def get_function(self, name: str) -> "Kernel":
        """Return a kernel by its name, or by the expression it was asked for with."""
        return Kernel(self.cupy, self.module.get_function(name), name)


class Kernel:
    """A kernel that is launched on copies of its arrays, which are then copied back."""

    def __init__(self, cupy: Any, own: Any, name: str) -> None:
        self.cupy = cupy
        self.own = own
        self.name = name

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Shared memory that a launch may ask for."""
        return self.own.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self.own.max_dynamic_shared_size_bytes = size

    def __call__(self, grid: Any, block: Any, args: Sequence[Any], *, shared_mem: int = 0) -> None:
        spans = _merged([_span(one) for one in args if _is_array(one)])
        copies = [self._copy(*span) for span in spans]

        def placed(one: Any) -> Any:
            if not _is_array(one):
                return one
            begin, end = _span(one)
            at = next(i for i, span in enumerate(spans) if span[0] <= begin and end <= span[1])
            return copies[at][begin - spans[at][0] :][: end - begin].view(one.dtype)

        self.own(grid, block, tuple(map(placed, args)), shared_mem=shared_mem)
        self.cupy.cuda.runtime.deviceSynchronize()
        for (begin, end), copy in zip(spans, copies, strict=True):
            _bytes(begin, end)[...] = copy.get()

    def traffic(self) -> None:
        """Skip the test that asks: no GPU counts accesses by line."""
        pytest.skip("a GPU does not count accesses by line")

    def _copy(self, begin: int, end: int) -> Any:
        """Return bytes of the host on the GPU, at an address that is as aligned as theirs."""
        room = self.cupy.empty(end - begin + ALIGNMENT, np.uint8)
        start = begin % ALIGNMENT
        found = room[start : start + end - begin]
        found.set(_bytes(begin, end))
        return found


def _is_array(one: Any) -> bool:
    return isinstance(one, np.ndarray) and one.dtype.kind != "V"  # not a struct by value


def _span(array: np.ndarray) -> tuple[int, int]:
    begin, end = np.lib.array_utils.byte_bounds(array) if array.size else (0, 0)
    return begin, end


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return spans without those that overlap: they are parts of one array."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(set(spans)):
        if found and begin < found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def _bytes(begin: int, end: int) -> np.ndarray:
    """Return a view of bytes of the process."""
    return np.frombuffer((ctypes.c_ubyte * (end - begin)).from_address(begin), np.uint8)
