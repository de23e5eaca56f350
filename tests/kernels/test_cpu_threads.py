import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkpy.kernels.cpu import blas, threads
from tests.conftest import ROOT


@given(count=st.integers(1, 1000), work=st.floats(0, 1e9))
def test_parts_cover_the_whole_in_order_and_none_is_empty(count, work):
    parts = threads.divide(count, work)
    assert [i for first, end in parts for i in range(first, end)] == list(range(count))
    assert all(first < end for first, end in parts)
    assert len(parts) <= threads.CORES


def test_little_work_is_not_divided(monkeypatch):
    monkeypatch.setattr(threads, "CORES", 8)
    assert threads.divide(100, 1.5 * threads.GRAIN) == [(0, 100)]
    assert len(threads.divide(100, 3 * threads.GRAIN)) == 3
    assert len(threads.divide(100, 1000 * threads.GRAIN)) == 8


def test_of_nothing_there_is_one_empty_part():
    assert threads.divide(0, 1e9) == [(0, 0)]


def test_every_part_is_done_once():
    done = []
    threads.run(lambda a, b: done.append((a, b)), [(i, -i) for i in range(20)])
    assert sorted(done) == [(i, -i) for i in range(20)]


def test_what_other_threads_have_no_time_for_is_done_here():
    free = threading.Event()
    busy = [threads.pool().submit(free.wait) for _ in range(threads.CORES + 2)]
    done = []
    try:
        threads.run(done.append, [(i,) for i in range(5)])
    finally:
        free.set()
    assert done == list(range(5))
    assert all(task.result() for task in busy)


def test_a_part_may_divide_its_own_work():
    done = []
    inner = [(i,) for i in range(4)]
    threads.run(lambda _: threads.run(done.append, inner), [(i,) for i in range(8)])
    assert sorted(done) == sorted(list(range(4)) * 8)


def test_an_error_in_a_part_is_raised():
    with pytest.raises(ZeroDivisionError):
        threads.run(lambda n: 1 / n, [(1,), (2,), (0,)])


PRODUCT = """
import numpy as np
from darkpy.kernels import ops
from darkpy.kernels.cpu import threads
threads.CORES, threads.GRAIN = 4, 1e-9
x, w = np.ones((1, 8, 20, 20), np.float32), np.ones((8, 8, 1, 1), np.float32)
def right():
    return ops("cpu").conv2d(x, w)[0, 0, 0, 0] == 8
"""


def python(text: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", PRODUCT + text]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.mark.skipif(not hasattr(threads.os, "fork"), reason="this system has no fork")
def test_works_in_a_child_that_was_forked():
    text = "import os\nassert right()\npid = os.fork()\nassert right()\n"
    text += "if pid: raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    assert python(text + "os._exit(0)").returncode == 0


def test_works_while_the_interpreter_ends():
    done = python("import atexit\natexit.register(lambda: print(right()))\nassert right()\n")
    assert done.stdout == "True\n", done.stderr


@pytest.mark.skipif(not blas.divisible, reason="numpy's BLAS is not OpenBLAS here")
def test_blas_has_one_thread_while_anyone_needs_it_so_and_its_own_again_after():
    get, put = blas.CONTROLS
    before = get()
    put(2)
    try:
        with blas.one_thread():
            assert get() == 1
            with blas.one_thread():
                assert get() == 1
            assert get() == 1
        assert get() == 2
        with pytest.raises(KeyError), blas.one_thread():
            raise KeyError
        assert get() == 2
    finally:
        put(before)


@pytest.mark.skipif(not blas.divisible, reason="numpy's BLAS is not OpenBLAS here")
def test_users_of_blas_that_overlap_leave_it_as_it_was():
    get, put = blas.CONTROLS
    before = get()
    put(3)
    barrier = threading.Barrier(8)

    def use(_):
        for _ in range(50):
            with blas.one_thread():
                assert get() == 1
        barrier.wait()

    try:
        with ThreadPoolExecutor(8) as users:
            list(users.map(use, range(8)))
        assert get() == 3
    finally:
        put(before)


@pytest.mark.skipif(not blas.divisible, reason="numpy's BLAS is not OpenBLAS here")
def test_kernels_have_no_more_threads_than_the_environment_gives_blas():
    text = "from darkpy.kernels.cpu.threads import cores; print(cores())"
    environment = {**threads.os.environ, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", text]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == "1\n"


FORKING = """
import os, sys, threading, warnings
import numpy as np
from darkpy.kernels import ops
from darkpy.kernels.cpu import blas

warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads: that is the matter
conv = ops("cpu").conv2d
x, w = np.ones((1, 16, 40, 40), np.float32), np.ones((16, 16, 3, 3), np.float32)
truth = conv(x, w, padding=1)
held, go = threading.Event(), threading.Event()

def hold():
    with blas.one_thread(), blas.lock:
        held.set()
        go.wait()

threading.Thread(target=hold, daemon=True).start()
held.wait()
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(conv(x, w, padding=1), truth) and blas.users == 0 else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
go.set()
sys.exit(code)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_the_child_of_a_fork_computes_though_a_thread_was_at_work():
    done = subprocess.run([sys.executable, "-c", FORKING], cwd=ROOT, timeout=60)
    assert done.returncode == 0
