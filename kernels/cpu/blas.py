"""numpy's BLAS on the calling thread alone, so that a product is divided among threads of ours.

OpenBLAS's own threads wait for each other many times within a product, and spin meanwhile. When
another program takes a core, yolov3 at 416 on two cores is 2.8 s a picture by them and .55 s by
ours; and for 30 ms after a product they leave other kernels no second core. Alone on the machine
it is .44 s and .28 s. Where BLAS is another library, `divisible` is False, and it is left alone.
"""

import ctypes
import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np

FORMS = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}")


def controls():
    """Return OpenBLAS's functions to get and to set its number of threads, or None.

    None too if it runs on OpenMP, where the number belongs to each calling thread.
    """
    for library in libraries():
        for form in FORMS:
            names = [form.format(n) for n in ("get_parallel", "get_num_threads", "set_num_threads")]
            if all(hasattr(library, name) for name in names):
                parallel, get, put = (getattr(library, name) for name in names)
                return (get, put) if parallel() < 2 else None
    return None


def libraries():
    """Yield the libraries to look in: numpy's module, which shows what it is linked to."""
    module = sys.modules.get("numpy._core._multiarray_umath")
    paths = [getattr(module, "__file__", None)]
    if sys.platform == "win32":  # there a module shows only what is its own
        paths = sorted(Path(np.__file__).parents[1].glob("numpy.libs/*openblas*.dll"))
    for path in paths:
        try:
            yield ctypes.CDLL(str(path))
        except OSError:  # built into the program, as in a frozen one
            continue


CONTROLS = controls()
divisible = CONTROLS is not None
most_threads = CONTROLS[0]() if CONTROLS else None  # what the environment allows it
lock = threading.Lock()
users = 0
before = 1


@contextmanager
def one_thread():
    """Keep BLAS to the calling thread; when the last user leaves, it has its threads again.

    The number is one for the whole process: products elsewhere are on one thread meanwhile too.
    """
    global users, before
    if CONTROLS is None:
        yield
        return
    get, put = CONTROLS
    with lock:
        if users == 0:
            before = get()
            put(1)
        users += 1
    try:
        yield
    finally:
        with lock:
            users -= 1
            if users == 0:
                put(before)


def _start_anew():
    """In a child of a fork no thread is left that holds the lock or will give BLAS its threads."""
    global lock, users
    lock = threading.Lock()
    if users:
        users = 0
        CONTROLS[1](before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
