import itertools

import pytest

from darkpy.cli import progress as module
from darkpy.cli.progress import Bar, building, progress


@pytest.fixture
def clock(monkeypatch):
    """Let a second pass whenever somebody looks at the clock."""
    monkeypatch.setattr(module.time, "monotonic", itertools.count().__next__)


def test_a_line_now_and_then_in_a_pipe(clock, capsys):
    assert list(progress(iter("abcdefghijkl"), 12, "map")) == list("abcdefghijkl")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "map: 5 of 12, 7 s left\nmap: 10 of 12, 2 s left\n"


def test_nothing_about_short_work(capsys):
    assert list(progress([1, 2], 2, "map")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(progress([1, 2], 2, "map")) == [1, 2]
    out, err = capsys.readouterr()
    assert out == "" and "map" in err and "\r" in err


def test_building_shows_a_bar_on_a_terminal_and_nothing_elsewhere(monkeypatch, capsys):
    for shown in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda shown=shown: shown)
        show = building()
        for _ in range(2):  # kernels are built several times in a process
            for done in range(3):
                show(done, 2)
            assert show.bar is None
        out, err = capsys.readouterr()
        assert out == "" and ("making kernels for this machine, once" in err) == shown


def test_a_bar_for_nothing_is_none(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    Bar("work")(0, 0)
    assert capsys.readouterr() == ("", "")
