"""A device, and what a launch of a kernel is: the one place that knows where arrays are.

CuPy's arrays and modules on a GPU; in the tests numpy's arrays and `tests.hostcuda.RawModule`. What
prepares launches (geometry, order of arguments, memory) is the same for both.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..common.activations import ACTIVATIONS
from .choices import Choices, Kept, place
from .sources import source

OPTIONS = ("-std=c++17",)
LIMIT = 1 << 31  # numbers of a map: kernels count them in 32 bits
ALIGNMENT = 256  # bytes, of what lies in scratch memory
COMPILERS = 4  # modules that are compiled at once
TYPES = {"float": np.float32, "half": np.float16, "bf16": np.uint16}  # how maps are stored
NAMES = {"float": "float", "half": "half", "bf16": "__nv_bfloat16"}  # in CUDA C++

NO_MEMORY = 2  # of the runtime's errors, and of the driver's
FEWER = "take fewer or smaller pictures, or end what else uses its memory"
REMEDIES = {  # by the runtime's number
    3: "; a process that was forked from one that used it cannot: let multiprocessing spawn",
    46: "; does another process have it for itself?",
}
TUNED = ("convolve.cu", "convolve_wgmma.cu", "weight_grad.cu")  # whose launches have several ways
HOPPER = 90  # whose own instructions are there for sm_90a alone


class TooLarge(ValueError):
    """A map of more numbers than kernels count."""


@dataclass(frozen=True)
class Map:
    """Pictures in memory: each pixel's channels side by side (NHWC).

    array  flat, of the dtype of ``type``; begins at the first channel of the first pixel
    pitch  numbers from a pixel to the next, a multiple of `piece`; so is the first channel's place
    type   "float", "half" or "bf16" (whose arrays are of uint16)

    Channels from ``c`` to the next multiple of `piece` belong to the map and are zeros: whoever
    writes the others writes them, so that kernels may read and write 16 bytes at a time.
    """

    array: Any
    n: int
    c: int
    h: int
    w: int
    pitch: int
    type: str

    def __post_init__(self) -> None:
        if self.n * self.h * self.w * self.pitch >= LIMIT:
            size = f"{self.n} x {self.h} x {self.w} x {self.pitch}"
            raise TooLarge(f"a map of {size} numbers: expected less than 2^31")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, c, h, w)."""
        return self.n, self.c, self.h, self.w

    @property
    def pixels(self) -> int:
        """The number of pixels of all pictures."""
        return self.n * self.h * self.w

    @property
    def piece(self) -> int:
        """The numbers in 16 bytes."""
        return piece(self.type)

    @property
    def pieces(self) -> int:
        """The pieces that a pixel's channels take."""
        return -(-self.c // self.piece)

    @property
    def name(self) -> str:
        """The type of its numbers in CUDA C++."""
        return NAMES[self.type]

    def channels(self, start: int, count: int) -> "Map":
        """Return some of the channels where they lie; ``start`` is a multiple of `piece`."""
        assert start % self.piece == 0, (start, self.piece)
        return replace(self, array=self.array[start:], c=count)


def piece(type_: str) -> int:
    """Return how many numbers of a type are 16 bytes."""
    return 16 // np.dtype(TYPES[type_]).itemsize


@dataclass(frozen=True)
class Scratch:
    """Memory of a launch that nobody needs after its op; an argument in the place of an array.

    offset  in bytes, a multiple of `ALIGNMENT`
    """

    count: int
    dtype: Any = np.float32
    offset: int = 0

    @property
    def end(self) -> int:
        """Where the next may begin."""
        size = self.count * np.dtype(self.dtype).itemsize
        return self.offset + -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Counters:
    """Integers (uint32) that are 0 before a launch, and that it leaves so."""

    count: int


@dataclass(frozen=True)
class Launch:
    """A call of a kernel that has not been compiled yet.

    file   "name.cu" in this folder
    name   of the kernel, template arguments included
    args   arrays, numpy scalars of the parameter's exact type, structs, `Scratch`, `Counters`
    shared bytes of dynamic shared memory
    """

    file: str
    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    args: tuple[Any, ...]
    shared: int = 0


class Device:
    """Where kernels run.

    xp          numpy or cupy
    module      makes a module of (code, options, name_expressions), as cupy.RawModule
    arch        compute capability as a number: 90 for 9.0
    processors  that run blocks side by side
    most_shared bytes of shared memory that a block may use
    scope       gives the context within which the device is the current one of a thread, and the
                null stream, which graphs wait for, its stream
    kept        where choices are kept, of which those that are there are taken; None keeps none
    """

    def __init__(
        self,
        xp: Any,
        module: Callable[..., Any],
        *,
        arch: int,
        processors: int,
        most_shared: int,
        options: Sequence[str] = (),
        scope: Callable[[], Any] = nullcontext,
        kept: Kept | None = None,
    ) -> None:
        self.xp = xp
        self.scope = scope
        self.kept = kept
        self.choices = Choices(kept.read() if kept else {})
        self.arch = arch
        self.processors = processors
        self.most_shared = most_shared
        self._module = module
        self._options = (*OPTIONS, *options)
        self._kernels: dict[tuple[str, str], Any] = {}

    def empty(self, count: int, dtype: Any) -> Any:
        """Return a flat array of whatever was there."""
        return self.xp.empty(count, dtype)

    def zeros(self, count: int, dtype: Any) -> Any:
        """Return a flat array of zeros."""
        return self.xp.zeros(count, dtype)

    def upload(self, array: Any) -> Any:
        """Return an array of the device with the contents of numpy's."""
        return self.xp.asarray(array)

    def download(self, array: Any) -> np.ndarray:
        """Return an array of numpy with the contents of the device's."""
        return array.get() if hasattr(array, "get") else np.array(array)

    def write(self, array: Any, values: np.ndarray) -> None:
        """Write numpy's numbers into an array of the device."""
        array.set(values)

    def capture(self, calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """Return one call in the place of several: a CUDA graph. Nothing runs yet."""
        graph, stream = self._captured(calls)

        def replay(kept: Sequence[Callable[[], None]] = calls) -> None:
            graph.launch(stream)
            stream.synchronize()

        return replay

    def _captured(self, calls: Iterable[Callable[[], None]]) -> tuple[Any, Any]:
        """Return a graph of calls, and a stream for it.

        Other threads may use the device meanwhile: a stream that blocks would forbid them all that
        CuPy does on the null stream, and whoever waits for the whole device ends what is captured.
        """
        with self.xp.cuda.Stream(non_blocking=True) as recorder:
            recorder.begin_capture()
            try:
                for call in calls:
                    call()
            except BaseException:
                with suppress(Exception):  # which would say only that something failed before
                    recorder.end_capture()
                raise
            graph = recorder.end_capture()
        return graph, self.xp.cuda.Stream()  # in order with what CuPy itself does

    def choosing(self, choices: Choices) -> "Device":
        """Return this device with choices of its own, which stay as they are."""
        found = copy(self)
        found.choices = choices
        return found

    def keep(self, found: Mapping[str, str | None]) -> None:
        """Take some ways from now on, by what they compute, and keep them; None: the estimate.

        Others stay as they are, those in the file as well, which other processes may have kept.
        """
        names = {**self.choices.names, **(self.kept.read() if self.kept else {}), **found}
        self.choices = Choices({what: name for what, name in names.items() if name is not None})
        if self.kept:
            self.kept.write(self.choices.names)

    def timer(self, launches: Sequence[Launch], times: int) -> Callable[[], float]:
        """Return what runs launches so many times, as one graph, and tells the milliseconds of one.

        It has run once, and memory of its own for what lies in scratch.
        """
        calls = self.bind(launches)
        graph, stream = self._captured(calls * times)
        start, end = self.xp.cuda.Event(), self.xp.cuda.Event()

        def run(kept: Sequence[Callable[[], None]] = calls) -> float:
            start.record(stream)
            graph.launch(stream)
            end.record(stream)
            end.synchronize()
            return float(self.xp.cuda.get_elapsed_time(start, end)) / times

        run()
        return run

    def map(self, shape: Sequence[int], type_: str) -> Map:
        """Return a new Map of a shape (n, c, h, w), not written yet."""
        n, c, h, w = shape
        pitch = -(-c // piece(type_)) * piece(type_)
        return Map(self.empty(n * h * w * pitch, TYPES[type_]), n, c, h, w, pitch, type_)

    def build(
        self, launches: Iterable[Launch], progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Compile all kernels that launches name, several at once.

        progress  called with (how many are done, of how many)
        """
        wanted = sorted({(one.file, one.name) for one in launches} - self._kernels.keys())
        with ThreadPoolExecutor(COMPILERS) as team:
            for done, _ in enumerate(team.map(self._compile, wanted), 1):
                if progress is not None:
                    progress(done, len(wanted))

    def _compile(self, key: tuple[str, str]) -> Any:
        with self.scope():  # which every thread has to enter by itself
            return self.kernel(*key)

    def kernel(self, file: str, name: str) -> Any:
        """Return a kernel, compiled if it was not."""
        if (file, name) not in self._kernels:
            module = self._module(
                code=source(file), options=self._options, name_expressions=(name,)
            )
            self._kernels[file, name] = module.get_function(name)
        return self._kernels[file, name]

    def bind(self, launches: Sequence[Launch], scratch: Any = None) -> list[Callable[[], None]]:
        """Return launches as calls.

        scratch  bytes for what lies in scratch memory, `room` of these launches or more
        """
        self.build(launches)
        if scratch is None:
            scratch = self.empty(room(launches), np.uint8)
        counts = [one.count for launch in launches for one in launch.args if _counts(one)]
        counters = self.zeros(max(counts, default=0), np.uint32)

        def resolve(one: Any) -> Any:
            if isinstance(one, Scratch):
                return scratch[one.offset : one.end].view(one.dtype)[: one.count]
            return counters[: one.count] if isinstance(one, Counters) else one

        def bound(launch: Launch) -> Callable[[], None]:
            kernel = self.kernel(launch.file, launch.name)
            if launch.shared > kernel.max_dynamic_shared_size_bytes:
                kernel.max_dynamic_shared_size_bytes = launch.shared
            args = tuple(map(resolve, launch.args))
            return lambda: kernel(launch.grid, launch.block, args, shared_mem=launch.shared)

        return [bound(one) for one in launches]

    def launch(self, one: Launch) -> None:
        """Launch what needs no memory but its arguments, without what `run` does before."""
        kernel = self.kernel(one.file, one.name)
        kernel(one.grid, one.block, one.args, shared_mem=one.shared)

    def run(self, launches: Sequence[Launch]) -> None:
        """Compile and launch, one after another."""
        for call in self.bind(launches):
            call()


def open_device(
    index: int, refused: type[Exception] = RuntimeError, short: type[Exception] = MemoryError
) -> Device:
    """Return a GPU as CuPy has it; the caller knows that CuPy is there and that the GPU is too.

    refused  what is raised, with a sentence, where CUDA says no to what is done within its scope
    short    and where the GPU's memory does not suffice
    """
    import cupy

    from ..cpu.engine.store import root  # beside what is kept of the processor's

    no_memory = cupy.cuda.memory.OutOfMemoryError
    errors = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)

    @contextmanager
    def scope() -> Iterator[None]:
        where = f"device 'cuda:{index}'"
        try:
            with cupy.cuda.Device(index), cupy.cuda.Stream.null:
                yield
        except no_memory as error:
            raise short(f"{where}: {str(error).rstrip('.')}: {FEWER}") from error
        except errors as error:
            if error.status == NO_MEMORY:
                raise short(f"{where}: {error}: {FEWER}") from error
            raise refused(f"{where}: {error}{REMEDIES.get(error.status, '')}") from error

    gpu = cupy.cuda.Device(index)
    with scope():
        arch = int(gpu.compute_capability)
        processors = gpu.attributes["MultiProcessorCount"]
        name = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode("utf-8", "replace")
    return Device(
        cupy,
        cupy.RawModule,
        arch=arch,
        processors=processors,
        most_shared=gpu.attributes["MaxSharedMemoryPerBlockOptin"],
        options=("-arch=sm_90a",) if arch == HOPPER else (),
        scope=scope,
        kept=place(root(), name, arch, processors, [source(file) for file in TUNED]),
    )


def _counts(one: Any) -> bool:
    return isinstance(one, Counters)


def room(launches: Iterable[Launch]) -> int:
    """Return the bytes of scratch memory that launches need, one at a time."""
    return max((a.end for one in launches for a in one.args if isinstance(a, Scratch)), default=0)


def over(count: int, block: int = 256) -> tuple[tuple[int], tuple[int]]:
    """Return grid and block of a launch with a thread, or more, for each of ``count`` things."""
    return (max(1, -(-count // block)),), (block,)


def ends(*maps: Map) -> tuple[Any, ...]:
    """Return array and pitch of each map, as kernels take them."""
    return tuple(part for one in maps for part in (one.array, np.int32(one.pitch)))


def struct(**fields: int | float) -> np.ndarray:
    """Return a struct to be given to a kernel by value: an int of 32 bits, or a float, for each."""
    types = [
        (name, np.float32 if isinstance(value, float) else np.int32)
        for name, value in fields.items()
    ]
    return np.array(tuple(fields.values()), types)


def act(name: str) -> str:
    """Return the type that stands for an activation in CUDA C++ (`activations`)."""
    return f"activation::{ACTIVATIONS[name].name}"
