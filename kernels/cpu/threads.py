"""Share work out over the cores: Python threads that stay, for kernels that let go of the GIL.

Numba's parallel loops are not used: where there is no OpenMP they run on its workqueue, which
ends the process when two threads call at once.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import cache
from itertools import pairwise

from . import blas

GRAIN = 100  # microseconds; waking a thread takes some 50


def cores():
    """Return how many cores this process may use: those it may run on, or fewer if BLAS has fewer.

    So OMP_NUM_THREADS and OPENBLAS_NUM_THREADS hold for the kernels as well.
    """
    return min(available(), blas.most_threads or available())


def available():
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


CORES = cores()
sharing = 1  # processes that share the cores, this one among them


@cache
def pool():
    """Return the threads beside the caller's own."""
    return ThreadPoolExecutor(max(1, CORES - 1), "darkpy-kernels")


def share(processes):
    """Let this process use its part of the cores, which so many processes share."""
    global CORES, sharing
    sharing = processes
    CORES = max(1, cores() // processes)
    if blas.CONTROLS is not None:
        blas.CONTROLS[1](CORES)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=pool.cache_clear)  # threads do not survive a fork


def divide(count, work):
    """Cut range(count) into parts (first, end), as many as the cores and the work are good for.

    work  microseconds that the whole takes one core, about
    """
    parts = max(1, min(CORES, count, int(work / GRAIN)))
    ends = [count * i // parts for i in range(parts + 1)]
    return list(pairwise(ends))


def run(function, parts):
    """Call ``function(*part)`` for each part, the first on this thread; return when all are done.

    What no other thread has begun by the time this one is free, it does itself: so it depends on
    none, and any number of threads may call at once.
    """
    first, *others = parts
    tasks = [submit(function, part) for part in others]
    function(*first)
    for task, part in zip(tasks, others, strict=True):
        if task is None or task.cancel():
            function(*part)
        else:
            task.result()


def submit(function, part):
    """Begin on another thread, in a copy of the caller's context, as which numpy has errstate."""
    try:
        return pool().submit(copy_context().run, function, *part)
    except RuntimeError:  # the interpreter is ending
        return None
