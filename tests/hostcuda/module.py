"""CuPy's calling convention for kernels that run on the CPU, on numpy arrays."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .build import build, restricted
from .statistics import Traffic, by_line
from .symbols import line_of, shared_variables

ORDERS = ("forward", "reverse", "random")
IGNORED = ("-std=", "--std=", "-arch=", "--gpu-architecture=", "--use_fast_math", "-lineinfo")
SHARED_BYTES = 48 << 10  # what a kernel may use without asking for more


class KernelError(RuntimeError):
    """A kernel did what no kernel may do."""


@dataclass(frozen=True)
class Settings:
    """How kernels are run.

    order  of blocks, warps and threads: forward, reverse or random
    seed   of the random order
    eager  asynchronous copies are done when issued, not when they are waited for
    check  every access is checked: bounds, alignment, initialisation, races
    statistics  the cost of accesses is counted; only together with check
    """

    order: str = "forward"
    seed: int = 0
    eager: bool = False
    check: bool = False
    statistics: bool = False

    def __post_init__(self):
        if self.order not in ORDERS:
            raise ValueError(f"order {self.order!r}: expected one of {', '.join(ORDERS)}")
        if self.statistics and not self.check:
            raise ValueError("statistics=True: expected check=True with it")


class _Parameter(ctypes.Structure):
    """``hostcuda::Parameter`` (shim/kernels.h)."""

    _fields_ = (
        ("bytes", ctypes.c_int),
        ("element_bytes", ctypes.c_int),
        ("kind", ctypes.c_char),
        ("element_kind", ctypes.c_char),
        ("is_const", ctypes.c_bool),
    )


class _Buffer(ctypes.Structure):
    """``hostcuda::Buffer`` (runtime/state.h)."""

    _fields_ = (
        ("begin", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("restricted", ctypes.c_int),
    )


class _Request(ctypes.Structure):
    """``hostcuda::Request`` (runtime/state.h)."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint64),
        ("seed", ctypes.c_uint64),
        ("order", ctypes.c_int),
        ("eager", ctypes.c_int),
        ("check", ctypes.c_int),
        ("statistics", ctypes.c_int),
        ("buffers", ctypes.c_int),
        ("buffer", ctypes.POINTER(_Buffer)),
        ("shared_variables", ctypes.c_int),
        ("shared_variable", ctypes.POINTER(_Buffer)),
        ("stacks", ctypes.c_void_p),
    )


def _buffers(rows: Sequence[tuple[Any, ...]]) -> Any:
    """Return ``Buffer``s of rows (begin, end, name), or (begin, end, name, restricted)."""
    fields = ((begin, end, name.encode(), *more) for begin, end, name, *more in rows)
    return (_Buffer * len(rows))(*(_Buffer(*one) for one in fields))


def _load(library) -> ctypes.PyDLL:
    lib = ctypes.PyDLL(str(library))  # keeps the GIL: one launch at a time uses the stacks
    lib.hostcuda_map_stacks.restype = ctypes.c_void_p
    lib.hostcuda_find.restype = ctypes.c_void_p
    lib.hostcuda_find.argtypes = [ctypes.c_char_p]
    lib.hostcuda_parameters.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    lib.hostcuda_launch.restype = ctypes.c_char_p
    lib.hostcuda_launch.argtypes = [ctypes.c_void_p] * 4
    lib.hostcuda_traffic.argtypes = [ctypes.c_void_p]
    return lib


@cache
def _mapped() -> list[int]:
    """Return a list for the address of the stacks, which the first launch of the process maps."""
    return []


def _stacks(entries: ctypes.PyDLL) -> int:
    """Return the address of the stacks that all modules use, one after another."""
    if not _mapped():
        address = entries.hostcuda_map_stacks()
        if address is None:
            raise MemoryError("no memory for the stacks of 1024 threads (128 MiB of addresses)")
        _mapped().append(address)
    return _mapped()[0]


class RawModule:
    """A CUDA source compiled for the CPU; ``cupy.RawModule`` otherwise.

    options  -D and -I are obeyed; those that choose a device's architecture have no meaning here
    """

    def __init__(
        self,
        code: str,
        options: Sequence[str] = (),
        name_expressions: Sequence[str] = (),
        settings: Settings = Settings(),
    ):
        wanted = tuple(option for option in options if not option.startswith(IGNORED))
        for option in wanted:
            if not option.startswith(("-D", "-I")):
                raise ValueError(f"option {option!r}: expected -D... or -I..., in one word")
        self.code, self.settings = code, settings
        self.library = build(code, wanted, tuple(name_expressions), checked=settings.check)
        self.entries = _load(self.library)

    def get_function(self, name: str) -> "Kernel":
        """Return a kernel by its name, or by the expression it was asked for with."""
        handle = self.entries.hostcuda_find(name.encode())
        if handle is None:
            raise LookupError(
                f'no kernel {name!r}: it is neither extern "C" nor in name_expressions'
            )
        return Kernel(self, handle, name)


class Kernel:
    """A kernel: ``kernel((gx, gy, gz), (bx, by, bz), arguments, shared_mem=bytes)``."""

    def __init__(self, module: RawModule, handle: int, name: str):
        self.module, self.handle, self.name = module, handle, name
        self.max_dynamic_shared_size_bytes = SHARED_BYTES
        count = module.entries.hostcuda_parameters(handle, None)
        self.parameters = (_Parameter * count)()
        module.entries.hostcuda_parameters(handle, self.parameters)
        self.restricted = restricted(module.code, name, count) if module.settings.check else ()

    def __call__(self, grid, block, args, *, shared_mem: int = 0) -> None:
        """Run the kernel to its end; arrays are numpy's, numbers numpy scalars of the exact type.

        raises  TypeError for arguments, ValueError for sizes, KernelError for what the kernel does
        """
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name}: takes {len(self.parameters)} arguments, got {len(args)}")
        packed, arrays = [], []
        for i, (parameter, value) in enumerate(zip(self.parameters, args, strict=True)):
            where = f"{self.name}: argument {i}"
            if parameter.kind == b"P":
                packed.append(_address(where, parameter, value))
                arrays += [] if value is None else [(*_extent(value), f"argument {i}", i)]
            else:
                packed.append(_number(where, parameter, value))
        self._launch(self._request(grid, block, shared_mem, arrays), packed)

    def traffic(self) -> list[Traffic]:
        """Return what the accesses of the last launch cost, by line; ``statistics`` must be on."""
        return by_line(self.module.entries, self.module.library, self.module.code)

    def _request(self, grid, block, shared_mem: int, arrays) -> _Request:
        settings = self.module.settings
        grid, block = (_triple(self.name, *size) for size in (("grid", grid), ("block", block)))
        self._refuse_sizes(grid, block, shared_mem)
        variables = shared_variables(self.module.library) if settings.check else ()
        return _Request(
            grid=(ctypes.c_uint * 3)(*grid),
            block=(ctypes.c_uint * 3)(*block),
            shared_bytes=shared_mem,
            seed=settings.seed,
            order=ORDERS.index(settings.order),
            eager=settings.eager,
            check=settings.check,
            statistics=settings.statistics,
            buffers=len(arrays),
            buffer=_buffers([(*span, i in self.restricted) for *span, i in arrays]),
            shared_variables=len(variables),
            shared_variable=_buffers(variables),
            stacks=_stacks(self.module.entries),
        )

    def _refuse_sizes(self, grid, block, shared_mem: int) -> None:
        if block[0] * block[1] * block[2] > 1024 or block[2] > 64:
            raise ValueError(f"{self.name}: block {block}: at most 1024 threads, 64 of them in z")
        if max(grid[1:]) > 65535:
            raise ValueError(f"{self.name}: grid {grid}: at most 65535 blocks in y and in z")
        limit = min(self.max_dynamic_shared_size_bytes, 227 << 10)
        if shared_mem > limit:
            raise ValueError(
                f"{self.name}: {shared_mem} bytes of shared memory, at most {limit};"
                " max_dynamic_shared_size_bytes raises that to 232448"
            )

    def _launch(self, request: _Request, packed) -> None:
        addresses = (ctypes.c_void_p * len(packed))(*map(ctypes.addressof, packed))
        offset = ctypes.c_uint64()
        said = self.module.entries.hostcuda_launch(
            self.handle, ctypes.addressof(request), addresses, ctypes.addressof(offset)
        )
        if said is None:
            return
        message = f"{self.name}: {said.decode()}"
        if offset.value:
            line = line_of(self.module.library, offset.value, self.module.code)
            message = f"{message}\n  {line}"
        raise KernelError(message)


def _triple(kernel: str, what: str, size) -> tuple[int, int, int]:
    whole = (*size, 1, 1)[:3] if len(size) <= 3 else ()
    if not whole or min(whole) < 1:
        raise ValueError(f"{kernel}: {what} {tuple(size)}: expected one to three positive numbers")
    return tuple(int(n) for n in whole)


def _extent(array: np.ndarray) -> tuple[int, int]:
    """Return the first address of an array and the one after its last, gaps included."""
    return np.lib.array_utils.byte_bounds(array) if array.size else (array.ctypes.data,) * 2


def _address(where: str, parameter: _Parameter, value) -> ctypes.c_void_p:
    """Return a pointer argument, after a look at the array's type."""
    if value is None:
        return ctypes.c_void_p(0)
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{where}: expected an array for a pointer, got {type(value).__name__}")
    size, kind = parameter.element_bytes, parameter.element_kind.decode()
    fits = (value.dtype.itemsize, value.dtype.kind) == (size, kind)
    if size and kind not in "VP" and not fits:  # void*, and pointers to structs, take any array
        raise TypeError(f"{where}: expected an array of {kind}{size}, got {value.dtype}")
    if not parameter.is_const and not value.flags.writeable:
        raise TypeError(f"{where}: expected an array that may be written, got a read-only one")
    return ctypes.c_void_p(value.ctypes.data)


def _number(where: str, parameter: _Parameter, value) -> ctypes.Array:
    """Return the bytes of a number or of a struct, after a look at its type."""
    size, kind = parameter.bytes, parameter.kind.decode()
    is_struct = isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind == "V"
    if not isinstance(value, np.generic) and not is_struct:
        raise TypeError(
            f"{where}: expected a numpy scalar of type {kind}{size}, got {type(value).__name__}"
        )
    if value.dtype.itemsize != size or value.dtype.kind != kind:
        raise TypeError(f"{where}: expected {kind}{size}, got {value.dtype}")
    return ctypes.create_string_buffer(value.tobytes(), size)
