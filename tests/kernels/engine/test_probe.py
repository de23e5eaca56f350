"""What the machine can do is measured in no time that threads without a processor would take."""

import threading

from darkpy.kernels.cpu.engine import probe


def test_threads_beyond_the_processors_are_not_started(monkeypatch):
    started = []

    def counted(run, threads):
        started.append(threads)
        return 1.0

    monkeypatch.setattr(probe, "timed", counted)
    monkeypatch.setattr(probe.os, "cpu_count", lambda: 3)
    assert probe.peak(99) == probe.peak(3) > probe.peak(2) > 0
    assert max(started) == 3


def test_time_of_threads_is_that_of_the_slowest():
    gate = threading.Barrier(3)
    assert probe.timed(gate.wait, 3) > 0
