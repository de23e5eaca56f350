"""What darkpy asks of CuPy, on the CPU: arrays are numpy's, kernels those of this package.

With it in CuPy's place all of the GPU's side runs: devices, streams, the capture of a graph.
"""

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType, SimpleNamespace, TracebackType
from typing import Any

import numpy as np

from .device import HostDevice
from .module import RawModule, Settings

CAPABILITY = "90"
ATTRIBUTES = {"MultiProcessorCount": 8, "MaxSharedMemoryPerBlockOptin": 227 << 10}


class Array(np.ndarray):
    """An array with the two methods that numpy's have not."""

    def get(self) -> np.ndarray:
        """Return the contents as numpy's."""
        return np.array(self)

    def set(self, values: np.ndarray) -> None:
        """Take the contents of numpy's, of the same dtype and shape."""
        assert (values.dtype, values.shape) == (self.dtype, self.shape)
        self[...] = values


class Graph:
    """What was launched while a stream captured."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def launch(self, stream: "Stream") -> None:
        """Run it all, on a stream that captures nothing."""
        assert stream.graph is None
        for call in self.calls:
            call()


class Stream:
    """A stream: launches run at once, unless it captures."""

    current: "Stream | None" = None

    def __init__(self) -> None:
        self.graph: Graph | None = None

    def __enter__(self) -> "Stream":
        Stream.current = self
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        Stream.current = None

    def begin_capture(self) -> None:
        """Keep launches from now on instead of running them."""
        assert Stream.current is self and self.graph is None
        self.graph = Graph()

    def end_capture(self) -> Graph:
        """Return what was launched."""
        graph, self.graph = self.graph, None
        assert graph is not None
        return graph

    def synchronize(self) -> None:
        """Wait for what is under way; nothing is."""
        assert self.graph is None, "a stream that captures cannot be waited for"


class Event:
    """A moment of a stream."""

    def record(self, stream: Stream) -> None:
        """Take the time, of a stream that captures nothing."""
        assert stream.graph is None
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """Wait till it is over; it is."""


def elapsed(start: Event, end: Event) -> float:
    """Return the milliseconds between two moments."""
    return 1e3 * (end.time - start.time)


class Kernel:
    """A kernel that is launched, or captured."""

    def __init__(self, own: Any) -> None:
        self.own = own

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """Shared memory that a launch may ask for."""
        return self.own.max_dynamic_shared_size_bytes

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self.own.max_dynamic_shared_size_bytes = size

    def __call__(self, *args: Any, **how: Any) -> None:
        stream = Stream.current
        if stream is not None and stream.graph is not None:
            stream.graph.calls.append(partial(self.own, *args, **how))
        else:
            self.own(*args, **how)


class Module(RawModule):
    """A module whose kernels know of streams."""

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
        return self

    def __exit__(self, *error: object) -> None:
        pass


def cupy(settings: Settings | None = None) -> ModuleType:
    """Return a module to be put into CuPy's place, whose kernels run as ``settings`` say."""
    own: Any = ModuleType("cupy")
    memory = HostDevice(np, RawModule, arch=90, processors=8, most_shared=227 << 10)
    own.empty = lambda count, dtype: memory.empty(count, dtype).view(Array)
    own.zeros = lambda count, dtype: memory.zeros(count, dtype).view(Array)
    own.asarray = lambda array: memory.upload(array).view(Array)
    own.RawModule = partial(Module, settings=settings or Settings())
    runtime = SimpleNamespace(
        deviceSynchronize=lambda: None, getDeviceProperties=lambda index: {"name": b"Stand-in GPU"}
    )
    own.cuda = SimpleNamespace(
        Device=Gpu, Stream=Stream, Event=Event, get_elapsed_time=elapsed, runtime=runtime
    )
    return own
