"""Bounds for every test here, and the count of the inputs that they tried."""

import contextlib
import logging
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz import cfgs

MEMORY = 3 << 30  # bytes that a test may take beyond what the process has; Linux tells and obeys


@pytest.fixture
def tried(record_property):
    """Count inputs: tried("kind", 3); the sums end the run and go into its report."""
    own = Counter()

    def count(kind, inputs=1):
        own[kind] += inputs

    yield count
    for kind, inputs in own.items():
        record_property(f"tried {kind}", inputs)


def pytest_terminal_summary(terminalreporter, config):
    """Write the sums, by the kind of file, and with -v by test."""
    sums = Counter()
    for report in (one for every in terminalreporter.stats.values() for one in every):
        for name, inputs in getattr(report, "user_properties", ()):
            tried, _, kind = name.partition(" ")
            if tried == "tried" and report.when == "teardown":
                sums[kind if config.getoption("verbose") > 0 else kind.partition(":")[0]] += inputs
    if sums:
        terminalreporter.section("bad input tried")
        for kind, inputs in sorted(sums.items()):
            terminalreporter.write_line(f"{inputs:7,} {kind}")


@pytest.fixture(autouse=True)
def _bounded():
    """Let what asks for more than MEMORY fail, where the system can be told so."""
    with bounded(MEMORY):
        yield


@contextlib.contextmanager
def bounded(more):
    """Limit the address space of this process to what it has now and ``more`` bytes."""
    pages = Path("/proc/self/statm")
    if not pages.is_file():
        yield
        return
    import resource

    used = int(pages.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item):
    """Keep the thousands of warnings out of pytest's records; they are formatted all the same."""

    class Formatted(logging.Handler):
        def emit(self, record):
            assert record.getMessage()

    log, before = logging.getLogger("darkpy"), logging.getLogger("darkpy").handlers
    log.handlers, log.propagate = [Formatted()], False
    try:
        return (yield)
    finally:
        log.handlers, log.propagate = before, True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder, which is the working directory, with the tables that sections name."""
    monkeypatch.chdir(tmp_path)
    cfgs.write_tables(tmp_path)
    return tmp_path
