"""Engines, each in a process of its own, that take turns; and what their times come to."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
OURS = "darkpy"
MOST = {"fp32": 1e-3, "bf16": 5e-2}  # relative difference of outputs beyond which none is timed


class Engine:
    """A process of engines.py, which answers each line with one of JSON."""

    def __init__(
        self,
        name: str,
        python: str,
        folder: Path,
        options: Sequence[str],
        threads: int,
        script: str = "engines.py",
    ) -> None:
        self.name, self.note = name, ""
        command = [python, str(HERE / script), name, str(folder), *options]
        number = str(threads)
        self.said = tempfile.TemporaryFile("w+")
        limits = {f"{name}_NUM_THREADS": number for name in ("OMP", "OPENBLAS", "MKL")}
        self.process = subprocess.Popen(
            [*command, "--threads", number],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env=os.environ | limits,
        )

    def answer(self) -> dict:
        """Return the next answer; RuntimeError, with what it said last, if the process ended."""
        line = self.process.stdout.readline()
        if not line:
            self.said.seek(0)
            said = self.said.read().strip().splitlines()[-1:]
            raise RuntimeError(f"{self.name} ended: {''.join(said) or self.process.wait()}")
        return json.loads(line)

    def ask(self, line: object) -> dict:
        print(line, file=self.process.stdin, flush=True)
        return self.answer()

    def end(self) -> None:
        with self.said, self.process:
            pass


def first(
    name: str,
    pythons: Sequence[str],
    folder: Path,
    words: Sequence[str],
    threads: int,
    script: str = "engines.py",
) -> tuple[Engine, dict]:
    """Start an engine with the first Python that has it; return it and its first answer.

    words, script  as `Engine` has options and script
    """
    for python in pythons:
        engine = Engine(name, python, folder, words, threads, script)
        try:
            said = engine.answer()
        except RuntimeError as error:
            said = {"absent": str(error)}
        if "absent" not in said:
            break
        engine.end()
    return engine, said


def order(count: int, turn: int) -> list[int]:
    """Return 0 .. count - 1, beginning elsewhere each turn."""
    return [(turn + k) % count for k in range(count)]


def rounds(
    engines: Sequence[Engine], count: int, seconds: float, lock: Path | None, realtime: bool
) -> dict[str, list[float]]:
    """Let engines warm up and take turns; return each one's median milliseconds of every round.

    seconds   how long a turn lasts, about
    lock      a file that whoever measures on this machine holds meanwhile: one round at a time
    realtime  nothing else gets the processors during a turn (Linux, as root)
    """
    times: dict[str, list[float]] = {engine.name: [] for engine in engines}
    with held(lock):
        for engine in engines:
            with alone(engine.process.pid if realtime else 0):
                engine.note = engine.ask("warm")["note"]
    for turn in range(count):
        with held(lock):
            for engine in (engines[k] for k in order(len(engines), turn)):
                with alone(engine.process.pid if realtime else 0):
                    found = engine.ask(seconds)["seconds"]
                times[engine.name].append(1e3 * statistics.median(found))
    return times


@contextlib.contextmanager
def held(path: Path | None) -> Iterator[None]:
    """Hold the lock of a file, as flock(1) does, or do nothing without one."""
    if path is None:
        yield
        return
    import fcntl

    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def alone(pid: int) -> Iterator[None]:
    """Schedule all threads of a process first come, first served, before all others; 0: none."""
    threads = threads_of(pid) if pid else []
    for thread in threads:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def threads_of(pid: int) -> list[int]:
    """Return the threads of a process and of those that it started."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    started = [child for task in tasks for child in (task / "children").read_text("ascii").split()]
    return [int(task.name) for task in tasks] + [
        thread for child in started for thread in threads_of(int(child))
    ]


def difference(found: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    """Return the largest difference of outputs, each by the largest value of the true ones."""
    if [y.shape for y in found] != [y.shape for y in truth]:
        return float("inf")
    return max(float(abs(y - z).max() / abs(z).max()) for y, z in zip(found, truth, strict=True))


def outputs(folder: Path, name: str) -> list[np.ndarray]:
    """Return the outputs that an engine wrote, head by head."""
    with np.load(folder / f"{name}.npz") as arrays:
        return [arrays[str(k)] for k in range(len(arrays.files))]


def compared(times: Sequence[float], ours: Sequence[float]) -> dict[str, float]:
    """Return the median time, and the median and quartiles of its ratio to ours, round by round.

    A ratio of 2 is twice our time. With fewer than two rounds the quartiles are the median.
    """
    ratios = [theirs / mine for theirs, mine in zip(times, ours, strict=True)]
    low, middle, high = (
        statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else ratios * 3
    )
    median = statistics.median(times)
    return {"median": median, "best": min(times), "low": low, "ratio": middle, "high": high}
