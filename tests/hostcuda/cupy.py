"""What darkpy asks of CuPy, on the CPU: arrays hold numpy's, kernels are those of this package.

With it in CuPy's place all of the GPU's side runs: devices, streams, the capture of a graph. What
CuPy or CUDA refuses is refused here, and what has no defined outcome there: launches and copies
while a device is not the current one, anything but launches while a stream captures.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType, SimpleNamespace, TracebackType
from typing import Any

import numpy as np

from .device import HostDevice
from .module import RawModule, Settings

CAPABILITY = "90"
NAME = b"Stand-in GPU"
ATTRIBUTES = {"MultiProcessorCount": 8, "MaxSharedMemoryPerBlockOptin": 227 << 10}
KINDS = "biufc"  # of the numbers that an array may have
UNKNOWN = 0xFF  # each byte of memory that nobody wrote: no number, or -1


class CUDARuntimeError(RuntimeError):
    """What CUDA says no to."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


class CUDADriverError(CUDARuntimeError):
    """What its driver says no to."""


class OutOfMemoryError(MemoryError):
    """An array is asked for that is larger than memory is."""


class _Thread(threading.local):
    """What is the current one in a thread: devices and streams, the innermost last."""

    def __init__(self) -> None:
        self.devices = [0]
        self.streams: list[Stream] = []


HERE = _Thread()
CAPTURING: "list[Stream]" = []  # of all threads


def require_stream(what: str) -> None:
    """Fail if what goes to the current stream, and is not launched, may not now."""
    if get_current_stream().graph is not None:
        raise CUDARuntimeError(f"{what}: a stream that captures takes launches alone here")
    require_null_stream(what)


def require_null_stream(what: str) -> None:
    """Fail if the current stream neither captures nor is the null stream, which graphs wait for;
    or if it is, and another stream captures that waits."""
    current = get_current_stream()
    if current.graph is None and not current.is_null:
        raise CUDARuntimeError(f"{what} on a stream that no graph waits for")
    if current.is_null and not all(one.non_blocking for one in CAPTURING):
        raise CUDARuntimeError(f"{what}: cudaErrorStreamCaptureImplicit")


class Array:
    """An array of a device: what CuPy's have of numpy's methods, as far as darkpy asks for it."""

    def __init__(self, own: np.ndarray, device: int) -> None:
        self.own = own
        self.device = device
        self.dtype, self.shape, self.size = own.dtype, own.shape, own.size
        self.ndim, self.nbytes, self.itemsize = own.ndim, own.nbytes, own.itemsize

    @property
    def data(self) -> SimpleNamespace:
        """Where its first number is."""
        return SimpleNamespace(ptr=self.own.ctypes.data)

    def __array__(self, *how: Any, **more: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __len__(self) -> int:
        return len(self.own)

    def __iter__(self) -> "Iterator[Array]":
        return (self[i] for i in range(len(self)))

    def __getitem__(self, places: Any) -> "Array":
        return Array(self.own[_basic(places)], self.device)

    def __setitem__(self, places: Any, value: Any) -> None:
        self[places]._become(value)

    def view(self, dtype: Any) -> "Array":
        """Return the same bytes as numbers of another type."""
        return Array(self.own.view(dtype), self.device)

    def reshape(self, *shape: Any) -> "Array":
        """Return an array of another shape: the same memory, or a copy where there are gaps."""
        return Array(self.own.reshape(*shape), self.device)

    def get(self) -> np.ndarray:
        """Return the contents as numpy's."""
        require_stream("get")
        return np.array(self.own)

    def set(self, values: np.ndarray) -> None:
        """Take the contents of numpy's, of the same dtype and shape."""
        require_stream("set")
        if not isinstance(values, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != values.dtype:
            raise TypeError(f"{values.dtype} array cannot be set to {self.dtype} array")
        if self.shape != values.shape:
            raise ValueError(f"Shape mismatch. Old: {self.shape}, new: {values.shape}")
        if not self.own.flags.c_contiguous:
            raise RuntimeError("Cannot set to non-contiguous array")
        self.own[...] = values

    def fill(self, value: Any) -> None:
        """Let all numbers be one, which is the host's."""
        if np.shape(value):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        self._become(value)

    def _become(self, value: Any) -> None:
        require_stream("a copy")
        require_current(self.device)
        if isinstance(value, Array):
            require_current(value.device)
            self.own[...] = value.own
        else:
            if np.shape(value):
                raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
            self.own[...] = value


def _basic(places: Any) -> Any:
    """Return an index that copies nothing."""
    parts = places if isinstance(places, tuple) else (places,)
    assert all(isinstance(one, int | np.integer | slice) or one is ... for one in parts), places
    return places


def require_current(device: int) -> None:
    """Fail if a device is not the current one."""
    if device != HERE.devices[-1]:
        raise CUDARuntimeError(f"device {device} is not the current one, {HERE.devices[-1]}")


class Graph:
    """What was launched while a stream captured."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def launch(self, stream: "Stream") -> None:
        """Run it all, on a stream that captures nothing."""
        assert stream.graph is None
        require_current(stream.device)
        for call in self.calls:
            call()


class Event:
    """A moment of a stream."""

    def __init__(self, *, disable_timing: bool = False) -> None:
        self.time: float | None = None

    def record(self, stream: "Stream | None" = None) -> None:
        """Take the time, of a stream that captures nothing."""
        assert (stream or get_current_stream()).graph is None
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """Wait till it is over; it is."""


class Stream:
    """A stream: launches run at once, unless it captures."""

    ptr = 0
    null: "Stream"  # of whichever device is the current one

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.is_null = null
        self.non_blocking = non_blocking
        self.device = HERE.devices[-1]
        self.graph: Graph | None = None
        self.is_spoilt = False

    def __enter__(self) -> "Stream":
        if not self.is_null:
            require_current(self.device)
        HERE.streams.append(self)
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        HERE.streams.pop()

    def begin_capture(self) -> None:
        """Keep launches from now on instead of running them."""
        if self.is_null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        assert HERE.streams[-1] is self and self.graph is None
        self.graph, self.is_spoilt = Graph(), False
        CAPTURING.append(self)

    def end_capture(self) -> Graph:
        """Return what was launched."""
        graph, self.graph = self.graph, None
        assert graph is not None
        CAPTURING.remove(self)
        if self.is_spoilt:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated")
        return graph

    def synchronize(self) -> None:
        """Wait for what is under way; nothing is."""
        assert self.graph is None, "a stream that captures cannot be waited for"

    def wait_event(self, event: Event) -> None:
        """Let what follows come after an event; it has."""
        assert event.time is not None


Stream.null = Stream(null=True)


def get_current_stream() -> Stream:
    """Return the current stream of this thread."""
    return HERE.streams[-1] if HERE.streams else Stream.null


def synchronize() -> None:
    """Wait for all that is under way, which nobody may while a stream captures."""
    for one in CAPTURING:
        one.is_spoilt = True
    if CAPTURING:
        raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")


def elapsed(start: Event, end: Event) -> float:
    """Return the milliseconds between two moments."""
    return 1e3 * (end.time - start.time)


class Kernel:
    """A kernel that is launched, or captured, on the device that it was loaded to."""

    def __init__(self, own: Any) -> None:
        self.own = own
        self.device = HERE.devices[-1]

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Shared memory that a launch may ask for."""
        require_current(self.device)
        return self.own.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        require_current(self.device)
        if size > ATTRIBUTES["MaxSharedMemoryPerBlockOptin"]:
            raise CUDARuntimeError(f"{size} bytes of shared memory: CUDA_ERROR_INVALID_VALUE")
        self.own.max_dynamic_shared_size_bytes = size

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Any, *, shared_mem: int = 0
    ) -> None:
        if type(grid) is not tuple or type(block) is not tuple:
            raise TypeError(f"grid {grid!r}, block {block!r}: expected tuples")
        require_current(self.device)
        require_null_stream("a launch")
        given = tuple(map(_given, args))
        call = partial(self.own, grid, block, given, shared_mem=shared_mem)
        graph = get_current_stream().graph
        if graph is not None:
            graph.calls.append(call)
        else:
            call()


def _given(one: Any) -> Any:
    """Return an argument as the kernels of this package take it."""
    if isinstance(one, Array):
        require_current(one.device)
        return one.own
    if isinstance(one, np.ndarray) and (one.size != 1 or one.dtype.kind != "V"):
        raise TypeError(f"an array of the host, {one.dtype} {one.shape}, for a kernel")
    return one


class Module(RawModule):
    """A module whose kernels know of streams."""

    def __init__(
        self,
        *,
        code: str,
        options: tuple[str, ...] = (),
        name_expressions: Sequence[str] = (),
        settings: Settings,
    ) -> None:
        if type(options) is not tuple:
            raise TypeError(f"options {options!r}: expected a tuple")
        super().__init__(code, options, name_expressions, settings)

    def get_function(self, name: str) -> Kernel:
        """Return a kernel by its name."""
        return Kernel(super().get_function(name))


class Gpu:
    """A device, which is the current one within its context."""

    compute_capability = CAPABILITY
    attributes = ATTRIBUTES

    def __init__(self, index: int) -> None:
        self.index = index

    def __enter__(self) -> "Gpu":
        HERE.devices.append(self.index)
        return self

    def __exit__(self, *error: object) -> None:
        HERE.devices.pop()


def cupy(settings: Settings | None = None) -> ModuleType:
    """Return a module to be put into CuPy's place, whose kernels run as ``settings`` say."""
    own: Any = ModuleType("cupy")
    memory = HostDevice(np, RawModule, arch=90, processors=8, most_shared=227 << 10)

    def empty(count: int, dtype: Any) -> Array:
        assert np.dtype(dtype).kind in KINDS, dtype
        size = count * np.dtype(dtype).itemsize
        if size > own.most:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes.")
        found = memory.empty(count, dtype)
        found.view(np.uint8)[...] = UNKNOWN
        return Array(found, HERE.devices[-1])

    def zeros(count: int, dtype: Any) -> Array:
        found = empty(count, dtype)
        found.fill(0)
        return found

    def asarray(array: Any) -> Array:
        if isinstance(array, Array):
            return array
        require_stream("asarray")
        found = empty(np.size(array), np.asarray(array).dtype).reshape(np.shape(array))
        found.own[...] = array
        return found

    own.empty, own.zeros, own.asarray = empty, zeros, asarray
    own.most = 1 << 40  # bytes of an array
    own.RawModule = partial(Module, settings=settings or Settings())
    own.cuda = SimpleNamespace(
        Device=Gpu,
        Event=Event,
        Stream=Stream,
        get_current_stream=get_current_stream,
        get_elapsed_time=elapsed,
        driver=SimpleNamespace(CUDADriverError=CUDADriverError),
        memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        runtime=SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            deviceSynchronize=synchronize,
            getDeviceProperties=lambda index: {"name": NAME},
        ),
    )
    return own
