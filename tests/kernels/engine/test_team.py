"""Tables give the same whoever runs them: many threads, no helper, children, interrupted callers.

The drivers of these tests are compiled here and put among those of the store.
"""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from darkpy.kernels.cpu.engine import store, target, team
from darkpy.kernels.cpu.engine.drivers.call import fetch_add, put, word
from darkpy.kernels.cpu.engine.records import Row
from tests.conftest import ROOT

ADDRESSES = numba.types.void(*[numba.types.int64] * 3)
DRIVERS = []


def driver(function):
    """Compile a function of (address of arguments, task, scratch) and name it "test.<name>"."""
    compiled = numba.cfunc(ADDRESSES)(function)
    DRIVERS.append(compiled)
    name = f"test.{function.__name__}"
    store._known.setdefault(target.host(), {})[name] = compiled.address
    return name


@driver
def count(args, task, scratch):
    fetch_add(word(args) + 8 * task, 1)


@driver
def after(args, task, scratch):
    """Write one more than the least of the row before, which tells whether that was done."""
    before, here, tasks = word(args), word(args + 8), word(args + 16)
    least = word(before)
    for i in range(tasks):
        least = min(least, word(before + 8 * i))
    put(here + 8 * task, least + 1)


@driver
def doze(args, task, scratch):
    """Keep a thread busy for some microseconds."""
    for _ in range(word(args)):
        fetch_add(scratch, 0)


COUNT, AFTER, DOZE = "test.count", "test.after", "test.doze"


class Chain:
    """Rows that each need all of the row before: a barrier that lets one through gives less."""

    def __init__(self, threads, rows=40, tasks=7):
        self.values = np.zeros((rows + 1, tasks), np.int64)
        line = self.values.strides[0]
        at = self.values.ctypes.data
        made = [Row(AFTER, (at + i * line, at + (i + 1) * line, tasks), tasks) for i in range(rows)]
        self.table = team.Table(made, threads, int)
        self.threads = threads

    def run(self):
        """Run once; return whether every row came after the one before."""
        self.values[1:] = -(10**6)
        team.team(self.threads).run(self.table)
        return (
            np.array_equal(self.values[:, 0], np.arange(len(self.values)))
            and not np.ptp(self.values, axis=1).any()
        )


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_every_task_runs_once_a_run(threads):
    sizes = [0, 1, 2, 3, threads, 17, 0]
    done = np.zeros((len(sizes), 17), np.int64)
    rows = [
        Row(COUNT, (row.ctypes.data,), tasks, barrier=i % 3 > 0)
        for i, (row, tasks) in enumerate(zip(done, sizes, strict=True))
    ]
    table = team.Table(rows, threads, int)
    for runs in range(1, 60):
        team.team(threads).run(table)
        for row, tasks in zip(done, sizes, strict=True):
            assert (row[:tasks] == runs).all()
            assert not row[tasks:].any()


@pytest.mark.parametrize("threads", [1, 2, 3, 6])
def test_a_row_begins_when_the_one_before_is_done(threads):
    chain = Chain(threads)
    assert all(chain.run() for _ in range(100))


def test_rows_without_a_barrier_are_done_before_the_row_after_the_next_barrier():
    here = np.zeros((3, 4), np.int64)
    at, line = here.ctypes.data, here.strides[0]
    rows = [
        Row(AFTER, (at, at, 4), 0, barrier=False),
        Row(DOZE, (3000,), 2, barrier=False),
        Row(COUNT, (at,), 4, barrier=False),
        Row(COUNT, (at + 2 * line,), 1),
        Row(AFTER, (at, at + line, 4), 4),
    ]
    table = team.Table(rows, 2, int)
    for runs in range(1, 200):
        team.team(2).run(table)
        assert (here[1] == runs + 1).all()


def test_a_table_without_rows_runs():
    team.team(2).run(team.Table([], 2, int))
    assert team.team(2).run(team.Table([], 2, int), times=True).shape == (0,)


def test_a_table_for_more_threads_than_a_team_has_and_for_fewer():
    chain = Chain(4)
    chain.threads = 2
    assert chain.run()
    chain.threads = 5
    assert chain.run()


def test_helpers_wake_after_any_pause():
    chain = Chain(2, rows=5)
    for pause in (0, 2e-5, 1e-4, 1.2e-4, 1e-3, 5e-3):
        for _ in range(20):
            end = time.perf_counter() + pause
            while time.perf_counter() < end:
                pass
            assert chain.run()


def test_many_threads_run_one_table_and_several():
    chains = [Chain(1 + i % 3) for i in range(6)]
    done = np.zeros(5, np.int64)
    shared = [team.Table([Row(COUNT, (done.ctypes.data,), 5)] * 4, n, int) for n in (1, 2)]

    def work(i):
        for _ in range(50):
            for table in shared:
                team.team(table.threads).run(table)
            assert chains[i].run()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert (done == 6 * 50 * 4 * 2).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_times_are_those_of_the_rows(threads):
    table = team.Table([Row(DOZE, (loops,), 2) for loops in (20_000, 10, 40_000)], threads, int)
    team.team(threads).run(table)
    found = []
    for _ in range(20):
        before = time.perf_counter()
        times = team.team(threads).run(table, times=True)
        whole = (time.perf_counter() - before) * 1e6
        assert times.shape == (3,)
        assert (times >= 0).all()
        assert times.sum() <= whole
        found.append(times)
    if threads == 1:  # with two, the other may do all of a row while this one is held up
        least = np.min(found, axis=0)
        assert least[1] < min(least[0], least[2])
    assert team.team(threads).run(table) is None


def test_without_a_thread_to_begin_the_caller_does_it_all(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    alone = team.Team(3)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    chain = Chain(3)
    alone.run(chain.table)
    assert chain.values[-1, 0] == len(chain.values) - 1
    assert alone.wanted == 0 or not alone.helpers[-1].thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_children_of_a_fork_run_tables_that_their_parent_was_running():
    chain, going = Chain(2), threading.Event()
    stop = threading.Event()

    def work():
        while not stop.is_set():
            chain.run()
            going.set()

    worker = threading.Thread(target=work)
    worker.start()
    going.wait()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if all(chain.run() for _ in range(3)) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        worker.join()
    assert chain.run()


PROGRAM = """
import os, signal, threading, time
import numpy as np
from darkpy.kernels.cpu.engine import team
from darkpy.kernels.cpu.engine.records import Row
place = np.zeros(8, np.int64)
args = (place.ctypes.data, 0, 0)
table = team.Table([Row("interpreter.rest", args, 60) for _ in range(30)], 2, int)
crew = team.team(2)
crew.run(table)
"""


def program(text):
    """Run a program in a fresh interpreter; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + text],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.split()


def test_a_program_ends_while_helpers_work_or_look():
    for text in (
        "crew.run(table)",
        "time.sleep(.01)",
        "threading.Thread(target=lambda: [crew.run(table) for _ in range(10**6)], daemon=True)"
        ".start(); time.sleep(.02)",
        "import atexit; atexit.register(lambda: crew.run(table))",
    ):
        program(text)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are others there")
def test_an_interrupted_caller_leaves_a_team_that_runs():
    text = """
caught = 0
main = threading.main_thread().ident
armed = threading.Event()
def shoot():  # once for each time that it is armed
    while armed.wait():
        armed.clear()
        time.sleep(.002)
        signal.pthread_kill(main, signal.SIGINT)
threading.Thread(target=shoot, daemon=True).start()
for _ in range(100):
    try:
        armed.set()
        while True:
            crew.run(table)
    except KeyboardInterrupt:
        caught += 1
for _ in range(3):
    crew.run(table)
print(caught, crew.turn.locked())
"""
    caught, locked = program(text)
    assert (caught, locked) == ("100", "False")


def test_an_idle_team_takes_no_time():
    text = """
before = time.process_time()
time.sleep(.2)
print(time.process_time() - before)
"""
    (seconds,) = program(text)
    assert float(seconds) < 0.02


def test_the_number_of_threads():
    assert 1 <= team.most() <= (os.cpu_count() or 1)
    assert team.physical() >= 1


@pytest.mark.parametrize(
    ("text", "most"),
    [("max 100000", sys.maxsize), ("150000 100000", 2), ("50000 100000", 1), ("", sys.maxsize)],
)
def test_the_quota_of_a_container(tmp_path, text, most):
    place = tmp_path / "cpu.max"
    place.write_text(text)
    assert team.quota(place) == most
    assert team.quota(tmp_path / "none") == sys.maxsize
