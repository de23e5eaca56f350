"""How much memory there is for this process: of the machine, of a container, of a limit."""

import sys
from pathlib import Path

import pytest

from darkpy import memory


def test_there_is_some_and_not_too_much():
    assert 1 << 26 < memory.physical_memory() < 1 << 50


@pytest.mark.skipif(sys.platform == "win32", reason="containers of Linux")
@pytest.mark.parametrize(
    ("text", "limits"), [("1073741824\n", True), ("max\n", False), ("", False)]
)
def test_a_container_has_less(text, limits, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CONTAINER", (tmp_path / "none", tmp_path / "memory.max"))
    without = memory.physical_memory()
    (tmp_path / "memory.max").write_text(text)
    assert memory.physical_memory() == (min(without, 1 << 30) if limits else without)


def test_a_limit_of_the_process_counts():
    resource = pytest.importorskip("resource", reason="POSIX's limits")
    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 35, before[1]))
    except (OSError, ValueError) as error:
        pytest.skip(f"the limit cannot be set here: {error}")
    try:
        assert memory.physical_memory() <= 1 << 35
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(sys.platform != "linux", reason="other C libraries give back by themselves")
def test_what_was_freed_is_given_back():
    def pages():
        return int(Path("/proc/self/statm").read_text().split()[1])

    held = [bytes(100_000) for _ in range(300)]  # 30 MB in pieces that the library keeps
    held = [b"".join((one, b"x")) for one in held]  # written to
    last = held[-1]
    del held
    before = pages()
    memory.give_back()
    assert before - pages() > 3000 and last
