"""Several processes that train one network: ranks, each with its share of every batch.

They talk by MPI, which a launcher (`mpiexec -n 2 darkpy detector train ...`) starts them with, on
one machine or on several; gradients in the memory of GPUs are added up by NCCL. A process that dies
ends the others: the launcher sees to it.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import DeviceError, TrainingError
from ..kernels.cpu import threads
from ..layers.base import Array

INSTALL = "pip install mpi4py mpich"
COUNTS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")  # that MPICH's launchers tell, and Open MPI's
CHOSEN = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # with which a person shares the cores out
EAGER = 1e-3  # seconds that a rank looks for the others without a rest
LARGE = 1 << 17  # numbers of an array that is sent by itself, and of several that go together
LONGEST_REST = 5e-3  # seconds between two looks: evaluations and saving are waited for so
TOLD = 0.5  # seconds for the launcher to pass on what a rank says before all of them end

Wait = Callable[[], None]


class Ranks(Protocol):
    """Who takes part in a training.

    rank, size  number of this process, from 0 on, and of all
    beside      how many of them are on this machine, and ``place`` this one's number there

    Every method is called by all ranks, in the same order.
    """

    rank: int
    size: int
    beside: int
    place: int

    def meet(self) -> None:
        """Wait until all ranks are here, however long that is, and leave them the processor."""

    def sum(self, array: Array) -> Wait:
        """Begin to make an array the sum of all ranks', the same bits everywhere.

        Nobody touches it until what is returned was called, which waits for the end; all have met
        shortly before. The array has no gaps.
        """

    def gather(self, thing: Any) -> list[Any]:
        """Return what each rank gave, which pickle knows."""

    def tell(self, thing: Any = None) -> Any:
        """Return what rank 0 gave."""

    def abort(self, error: BaseException) -> None:
        """Say what happened here, and end all ranks at once."""


class Alone:
    """The one rank of a training in one process."""

    rank, size, beside, place = 0, 1, 1, 0

    def meet(self) -> None:
        """Nobody else comes."""

    def sum(self, array: Array) -> Wait:
        """An array is its own sum."""
        return lambda: None

    def gather(self, thing: Any) -> list[Any]:
        """Nobody else gave any."""
        return [thing]

    def tell(self, thing: Any = None) -> Any:
        """It is heard by nobody else."""
        return thing

    def abort(self, error: BaseException) -> None:
        """There is nobody to end; the error itself does."""


ALONE = Alone()


class MpiRanks:
    """The processes of an MPI communicator; by default all that the launcher started."""

    def __init__(self, comm: Any = None) -> None:
        from mpi4py import MPI

        self._mpi = MPI
        self.comm = MPI.COMM_WORLD if comm is None else comm
        self.rank: int = self.comm.Get_rank()
        self.size: int = self.comm.Get_size()
        local = self.comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.beside: int = local.Get_size()
        self.place: int = local.Get_rank()
        self.sharing: int = local.allgather(_usable()).count(_usable())
        local.Free()

    def meet(self) -> None:
        """Wait for the others without taking a core from them; whoever cannot, ends all."""
        began, rest = time.monotonic(), 0.0
        request = self.comm.Ibarrier()
        try:
            while not request.Test():
                if time.monotonic() - began > EAGER:
                    rest = min(rest + 1e-4, LONGEST_REST)
                time.sleep(rest)
        except BaseException as error:
            self.abort(error)
            raise

    def sum(self, array: Array) -> Wait:
        """Begin to make an array the sum of all ranks'."""
        request = self.comm.Iallreduce(self._mpi.IN_PLACE, array)

        def wait() -> None:
            request.Wait()

        return wait

    def gather(self, thing: Any) -> list[Any]:
        """Return what each rank gave."""
        self.meet()
        return list(self.comm.allgather(thing))

    def tell(self, thing: Any = None) -> Any:
        """Return what rank 0 gave."""
        self.meet()
        return self.comm.bcast(thing)

    def abort(self, error: BaseException) -> None:
        """End all ranks at once, with exit status 130 if somebody stopped them, else 2."""
        is_stopped = isinstance(error, KeyboardInterrupt)
        why = "stopped at once" if is_stopped else str(error) or type(error).__name__
        print(f"error: rank {self.rank}: {why}", file=sys.stderr, flush=True)
        time.sleep(TOLD)
        self.comm.Abort(130 if is_stopped else 2)


class NcclSums:
    """Sums over ranks of arrays in the memory of GPUs, beside what else these do.

    ranks  of as many processes, each of which has chosen a GPU of its own
    cupy   the module

    What is given to `sum` is added up once all is done that was asked of the GPU before; what is
    asked of it after the wait comes after the sum. Nothing waits on the processor, so all of it can
    be recorded in a graph. Raises DeviceError if CuPy finds no NCCL, or for what NCCL says no to.
    """

    def __init__(self, ranks: Ranks, cupy: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy's, of several lines, where there is no NCCL
            self._nccl: Any = import_module("cupy.cuda.nccl")  # which CuPy does not do by itself
        if not self._nccl.available:
            raise DeviceError(
                "several GPUs add up by NCCL, which CuPy does not find: pip install "
                "nvidia-nccl-cu12, or nvidia-nccl-cu13 for CUDA 13"
            )
        self._ranks = ranks
        self._cuda = cupy.cuda
        self._all: Any = None
        self._side = cupy.cuda.Stream(non_blocking=True)

    def _meet(self) -> Any:
        """Return what all ranks call NCCL by, who find each other at the first call."""
        ranks, nccl = self._ranks, self._nccl
        name = ranks.tell(nccl.get_unique_id() if ranks.rank == 0 else None)
        return nccl.NcclCommunicator(ranks.size, name, ranks.rank)

    def sum(self, array: Any) -> Wait:
        """Begin to make a float32 array the sum of all ranks'."""
        kinds = self._nccl.NCCL_FLOAT32, self._nccl.NCCL_SUM
        before, after = (self._cuda.Event(disable_timing=True) for _ in range(2))
        before.record(self._cuda.get_current_stream())
        self._side.wait_event(before)
        place = array.data.ptr
        try:
            self._all = self._all or self._meet()
            self._all.allReduce(place, place, array.size, *kinds, self._side.ptr)
        except self._nccl.NcclError as error:
            raise DeviceError(f"several GPUs do not add up: {error}") from error
        after.record(self._side)
        return lambda: self._cuda.get_current_stream().wait_event(after)


def _usable() -> tuple[int, ...]:
    """Return the processors that this process may run on, where that is known."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return ()


def launched() -> int:
    """Return how many processes a launcher of MPI started, of which this is one; 1 if none did."""
    counts = [os.environ.get(name, "") for name in COUNTS]
    return max((int(one) for one in counts if one.isdecimal()), default=1)


def connect() -> Ranks:
    """Return the ranks that a launcher started this process among, or `ALONE`.

    The cores of a machine are shared out among its ranks, unless OMP_NUM_THREADS says how many each
    takes. Raises TrainingError if they cannot find each other.
    """
    count = launched()
    if count == 1:
        return ALONE
    who = f"mpiexec started {count} processes"
    try:
        ranks = MpiRanks()
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py finds no library of MPI
        missing = str(error).splitlines()[0]
        raise TrainingError(f"{who}, which need mpi4py ({missing}): {INSTALL}") from None
    if ranks.size != count:
        library = ranks._mpi.Get_library_version().split("\n")[0]
        raise TrainingError(
            f"{who}, but mpi4py finds {ranks.size}: it has another MPI ({library.strip()}) than "
            f"mpiexec; take both from one: {INSTALL}"
        )
    if not any(name in os.environ for name in CHOSEN):
        threads.share(ranks.sharing)
    return ranks


def launcher() -> str | None:
    """Return where mpiexec is: beside this Python, or on the path."""
    beside = str(Path(sys.executable).parent)
    return shutil.which("mpiexec", path=beside) or shutil.which("mpiexec")


def command(count: int, words: Sequence[str]) -> list[str]:
    """Return the command that runs a command line of darkpy as so many ranks.

    Raises TrainingError if there is no mpiexec.
    """
    found = launcher()
    if found is None:
        raise TrainingError(f"there is no mpiexec to start {count} processes with: {INSTALL}")
    return [found, "-n", str(count), sys.executable, "-m", "darkpy", *words]


def become(count: int, words: Sequence[str]) -> None:
    """Be so many ranks that run a command line of darkpy, instead of this process."""
    start = command(count, words)
    sys.stdout.flush()
    os.execv(start[0], start)


def chosen(devices: Sequence[str], ranks: Ranks) -> str:
    """Return which of a machine's devices this rank computes on.

    Where none are named a process by itself takes the first GPU, if there is one, and ranks the
    processor.
    """
    if not devices:
        return "auto" if ranks.size == 1 else "cpu"
    if devices == ("cpu",):
        return "cpu"
    if len(devices) != ranks.beside:
        raise TrainingError(
            f"{len(devices)} GPUs for {ranks.beside} processes on this machine: expected as many"
        )
    return devices[ranks.place]


def parts(count: int, subdivisions: int, ranks: int = 1) -> list[range]:
    """Cut the slots of a batch into mini-batches, as equal as may be.

    There are ``subdivisions`` of them, or so many more that each rank has as many as the others:
    the first ranks have the first. So several ranks learn what one would with that number of
    subdivisions, but for what rounding does to sums. Raises TrainingError if a rank has no picture.
    """
    if count < ranks:
        raise TrainingError(
            f"a batch of {count} has no picture for some of {ranks} processes: expected batch="
            f"{ranks} or more in [net], or fewer processes"
        )
    most = count // ranks * ranks if ranks > 1 else count
    number = min(most, -(-subdivisions // ranks) * ranks)
    ends = [count * k // number for k in range(number + 1)]
    return [range(ends[k], ends[k + 1]) for k in range(number)]


def own(count: int, subdivisions: int, ranks: Ranks) -> dict[int, range]:
    """Return the mini-batches of a batch that are this rank's, by their numbers."""
    all_parts = parts(count, subdivisions, ranks.size)
    each = len(all_parts) // ranks.size
    first = ranks.rank * each
    return {k: all_parts[k] for k in range(first, first + each)}


def own_slots(count: int, subdivisions: int, ranks: Ranks) -> range:
    """Return the slots of a batch that are this rank's."""
    mine = list(own(count, subdivisions, ranks).values())
    return range(mine[0].start, mine[-1].stop)


def add_up(arrays: Sequence[Array], ranks: Ranks) -> None:
    """Make float32 arrays the sums of all ranks'; the small ones go together, in runs of some."""
    if ranks.size == 1:
        return
    begun: list[tuple[list[Array], Array, Wait]] = []
    run: list[Array] = []

    def send() -> None:
        flat = np.concatenate([one.reshape(-1) for one in run])
        begun.append((run[:], flat, ranks.sum(flat)))
        run.clear()

    for array in arrays:
        if array.size >= LARGE and array.flags.c_contiguous:
            begun.append(([], array, ranks.sum(array)))
            continue
        run.append(array)
        if sum(one.size for one in run) >= LARGE:
            send()
    if run:
        send()
    for parts_, flat, wait in begun:
        wait()
        at = 0
        for array in parts_:
            array[...] = flat[at : at + array.size].reshape(array.shape)
            at += array.size
