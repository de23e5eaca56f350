"""Threads that run tables: the caller's own, and helpers that join it.

A helper stays in native code for a moment after a table, looking for the next; then it sleeps on a
lock. Who calls wakes those that sleep and begins at once: a table waits for no helper that has not
begun, so it ends whatever becomes of them (drivers/interpreter.py). All that happens between
waking and the last row's end is one call into native code, which no exception interrupts.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import threading
import time
import weakref
from functools import cache
from pathlib import Path

import numpy as np

from . import store, target

LINE = 64  # bytes of a cache line
WORDS = 6  # int64 of a row, as drivers/interpreter.py reads them
JOB = 12  # int64 of a job
CLOCK, KIND, TICKS = 8, 9, 10
ASLEEP = 1
IDLE = 500e-6  # seconds a helper looks for the next table; to wake it takes 50e-6
PATIENCE = 20e-6  # seconds a thread looks before it gives the processor away
LOOKS = 1000  # to measure how long one takes
DRIVERS = tuple(f"interpreter.{name}" for name in ("lead", "serve", "rest"))


class Table:
    """Rows bound to addresses, for so many threads, ready to run.

    rows      `records.Row`; of one with a ``barrier`` all tasks are done before the next begins
    resolve   turns an argument of a row into an int
    scratch   `room` bytes of the rows, at a multiple of 64, or None: memory of its own

    One run at a time: threads that run a table at once take turns.
    """

    def __init__(self, rows, threads, resolve, scratch=None):
        known = store.addresses([row.driver for row in rows])
        self.threads = threads
        self.count = len(rows)
        args = [resolve(one) for row in rows for one in row.args]
        self.args = np.array(args, np.int64)
        self.table = np.zeros((max(1, len(rows)), WORDS), np.int64)
        self.counters = aligned((len(rows) * threads + 1) * LINE // 8, np.int64)  # the last: done
        place, at = self.args.ctypes.data, self.counters.ctypes.data
        ends = goals(rows)
        table = []
        for i, row in enumerate(rows):
            barrier = int(row.barrier or i == len(rows) - 1)
            table.append((known[row.driver], place, row.tasks, barrier, at, ends[i]))
            place += 8 * len(row.args)
            at += threads * LINE
        if table:
            self.table[:] = table
        size = room(rows, threads)
        self.scratch = aligned(size, np.uint8) if scratch is None else scratch
        start = self.scratch.ctypes.data
        self.places = np.arange(start, start + size, size // threads, dtype=np.int64)
        self.times = np.zeros((len(rows) + 1, 2), np.int64)
        self.job = np.zeros(JOB, np.int64)
        self.job[:8] = (
            *(self.table.ctypes.data, len(rows), threads, at, 0, sum(row.tasks for row in rows)),
            *(give_way(), looks(PATIENCE)),
        )
        self.job[JOB - 1] = self.places.ctypes.data
        self.place = self.job.ctypes.data
        self.renew()
        _known.add(self)

    def renew(self):
        """Begin anew, in a child of a fork: a thread that ran this is not there."""
        self.turn = threading.Lock()
        self.counters[:] = 0
        self.job[4] = 0


def room(rows, threads):
    """Return the bytes of scratch of so many threads."""
    return (-(-max((row.scratch for row in rows), default=0) // LINE) * LINE + LINE) * threads


def goals(rows):
    """Return how many tasks are done, from the first row on, when those that wait may go on."""
    ends, total = [], 0
    for row in rows:
        total += row.tasks
        ends.append(total)
    for i in reversed(range(len(rows) - 1)):
        if not rows[i].barrier:
            ends[i] = ends[i + 1]
    return ends


def aligned(count, kind):
    """Return zeros whose address is a multiple of 64."""
    raw = np.zeros(count * np.dtype(kind).itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + count * np.dtype(kind).itemsize].view(kind)


class Team:
    """So many threads that run one table at a time; others that call meanwhile wait.

    A team of one is the caller alone: it runs any number of tables at once.
    """

    def __init__(self, threads):
        self.threads = threads
        self.lead, self.serve, self.rest = map(native, store.addresses(DRIVERS).values())
        self.renew()
        _known.add(self)

    def renew(self):
        """Begin anew, in a child of a fork: its helpers are not there."""
        self.turn = threading.Lock()
        self.helpers = []
        self.wanted = self.threads - 1
        self.over = False
        self.lines = aligned(max(1, self.threads - 1) * LINE // 8, np.int64)
        self.place = self.lines.ctypes.data
        self.states = memoryview(self.lines)

    def run(self, table, times=False):
        """Run every row of a table; return when all are done.

        times    whether to take the time of each row
        returns  None, or microseconds of each row, (rows,) float64, by the caller's thread: of rows
                 without a barrier, its own part
        """
        with self.turn if min(self.threads, table.threads) > 1 else table.turn:
            if len(self.helpers) < self.wanted:
                self._grow()
            for helper in self.helpers[: table.threads - 1]:
                if self.states[helper.at] == ASLEEP:
                    helper.rouse()
            if not times:
                self.lead(table.place, self.place, len(self.helpers))
                return None
            function, kind, units = clock()
            table.job[[CLOCK, KIND, TICKS]] = function, kind, table.times.ctypes.data
            try:
                self.lead(table.place, self.place, len(self.helpers))
            finally:
                table.job[CLOCK] = 0
            return np.diff(table.times, axis=0) @ units

    def _grow(self):
        """Begin helpers; without them, as where no thread can begin, the caller does it all."""
        try:
            while len(self.helpers) < self.wanted:
                self.helpers.append(Helper(self, len(self.helpers) + 1))
        except RuntimeError:
            self.wanted = len(self.helpers)

    def end(self):
        """Send the helpers home."""
        self.over, self.wanted = True, 0
        for helper in self.helpers:
            helper.rouse()
        for helper in self.helpers:
            helper.thread.join(1)


class Helper:
    """A thread that does its part of each table it finds posted at its line."""

    def __init__(self, team, number):
        self.at = (number - 1) * LINE // 8
        self.wake = threading.Lock()
        self.wake.acquire()
        team.lines[self.at] = ASLEEP
        self.thread = threading.Thread(
            target=self._live, args=(team, number), name=f"darkpy-{number}", daemon=True
        )
        self.thread.start()

    def rouse(self):
        try:
            self.wake.release()
        except RuntimeError:
            pass  # it is on its way

    def _live(self, team, number):
        lines = team.lines
        line = lines.ctypes.data + (number - 1) * LINE
        idle = looks(IDLE)
        while not team.over:
            team.serve(line, number, idle)
            self.wake.acquire()


_known = weakref.WeakSet()
_teams = {}


def team(threads):
    """Return the team of so many threads; one serves all plans."""
    key = threads, target.host()
    return _teams.get(key) or _teams.setdefault(key, Team(threads))


def most():
    """Return how many threads a table runs fastest with: one for each core this process may use.

    Two threads of one core share its multipliers, and gain nothing. OMP_NUM_THREADS holds, and so
    does the quota of a container. Processes that share the cores each have their part.
    """
    from .. import threads

    return max(1, min(threads.cores(), physical(), quota()) // threads.sharing)


def physical():
    """Return how many cores have processors that this process may use, where that shows."""
    try:
        if sys.platform == "darwin":
            size, count = ctypes.c_size_t(4), ctypes.c_int(0)
            named = ctypes.CDLL(
                None
            ).sysctlbyname  # fast cores alone: the others would hold them up
            for name in (b"hw.perflevel0.physicalcpu", b"hw.physicalcpu"):
                if (
                    not named(name, ctypes.byref(count), ctypes.byref(size), None, 0)
                    and count.value
                ):
                    return count.value
        place = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
        usable = os.sched_getaffinity(0)
        return len({Path(place.format(one)).read_text() for one in usable})
    except (OSError, AttributeError):
        return sys.maxsize


def quota(place=Path("/sys/fs/cgroup/cpu.max")):
    """Return how many cores' time a container may use, rounded up."""
    try:
        share, period = place.read_text().split()
        return -(-int(share) // int(period))
    except (OSError, ValueError):  # another system, or "max"
        return sys.maxsize


@cache
def looks(seconds):
    """Return how often a thread looks at a word in so many seconds, pausing between."""
    rest = driver("interpreter.rest")
    word = aligned(8, np.int64)
    least = seconds
    for _ in range(20):  # the first are slow, and others may be interrupted
        before = time.perf_counter()
        rest(word.ctypes.data, LOOKS, 0)
        least = min(least, (time.perf_counter() - before) / LOOKS)
    return max(1, int(seconds / max(least, 1e-9)))


def driver(name):
    """Return a driver: a function of three int64, which runs without the interpreter's lock."""
    return native(store.addresses([name])[name])


@cache
def native(address):
    """Return the function of three int64 at an address."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)


@cache
def give_way():
    """Return the address of the C function that lets another thread run, or 0."""
    try:
        if sys.platform == "win32":
            return pointer(ctypes.windll.kernel32.SwitchToThread)
        return pointer(ctypes.CDLL(None).sched_yield)
    except (OSError, AttributeError):
        return 0


@cache
def clock():
    """Return the address of a C function that writes the time, its first argument, and units.

    The argument is 0 where it takes no more than the address; units are the microseconds of one in
    each of two int64.
    """
    if sys.platform == "win32":
        library, frequency = ctypes.windll.kernel32, ctypes.c_int64(1)
        library.QueryPerformanceFrequency(ctypes.byref(frequency))
        units = np.array([1e6 / frequency.value, 0])
        return pointer(library.QueryPerformanceCounter), 0, units
    function = pointer(ctypes.CDLL(None).clock_gettime)
    return function, time.CLOCK_MONOTONIC, np.array([1e6, 1e-3])  # seconds, nanoseconds


def pointer(function):
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _renew():
    for one in list(_known):
        one.renew()


def _end():
    """Call the helpers home: none is in native code when the interpreter takes itself apart."""
    for one in list(_teams.values()):
        one.end()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
