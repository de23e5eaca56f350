"""Trainings that are stopped, killed and resumed through the command line."""

import os
import random
import shlex
import signal
import subprocess
import sys
import time

import pytest

from darkpy.cli import main
from tests.conftest import ROOT
from tests.train.project import ALL, assert_same, figures, state, write_project

KILLS = 50


def darkpy(monkeypatch, *words):
    """Run a command line in this process; return its exit status."""
    words = [str(word) for word in words]
    monkeypatch.setattr(sys, "argv", ["darkpy", *words])
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def command(folder, *more):
    return ("detector", "train", folder / "tiny.data", folder / "tiny.cfg", *more)


def at(iteration, action):
    """Return a trainer's step that does something in the midst of an iteration."""
    from darkpy.train.trainer import Trainer

    step = Trainer.step

    def acting(self, images, truths):
        if self.iteration + 1 == iteration:
            action()
        return step(self, images, truths)

    return acting


@pytest.fixture
def signalled(monkeypatch):
    """Return what sends this process a signal within an iteration, once."""

    def send(iteration, number=signal.SIGINT, times=1):
        from darkpy.train.trainer import Trainer

        def action():
            for _ in range(times):
                signal.raise_signal(number)

        monkeypatch.setattr(Trainer, "step", at(iteration, action))

    yield send


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_printed_command_goes_on(
    tmp_path, monkeypatch, capfd, signalled, number
):
    straight, parts = (write_project(tmp_path / name, **ALL) for name in ("a", "b c"))
    assert darkpy(monkeypatch, *command(straight)) == 0
    with monkeypatch.context() as patch:
        signalled(10, number)
        assert darkpy(patch, *command(parts, "--workers", 3)) == 130
        monkeypatch.undo()
    err = capfd.readouterr().err
    assert "stopping after this iteration; once more stops now" in err
    line = err.strip().splitlines()[-1]
    said, _, again = line.partition("; to go on: darkpy ")
    assert said == "saved at iteration 10"
    assert signal.getsignal(number) != signal.SIG_IGN
    assert darkpy(monkeypatch, *shlex.split(again)) == 0
    assert_same(straight, parts)


def test_a_second_signal_stops_at_once_and_the_state_before_holds(
    tmp_path, monkeypatch, capfd, signalled
):
    straight, parts = (write_project(tmp_path / name) for name in ("a", "b c"))
    often = ("--save-every", 4)
    assert darkpy(monkeypatch, *command(straight, *often)) == 0
    signalled(10, times=2)
    assert darkpy(monkeypatch, *command(parts, *often)) == 130
    monkeypatch.undo()
    line = capfd.readouterr().err.strip().splitlines()[-1]
    said, _, again = line.partition("; to go on: darkpy ")
    assert said == "stopped at once; saved at iteration 8"
    assert darkpy(monkeypatch, *shlex.split(again)) == 0
    assert_same(straight, parts)


def test_a_signal_that_is_ignored_stays_ignored(tmp_path, monkeypatch, signalled):
    folder = write_project(tmp_path / "a")
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        signalled(3)
        assert darkpy(monkeypatch, *command(folder)) == 0
    finally:
        signal.signal(signal.SIGINT, old)


def test_a_reader_that_has_gone_is_a_request_to_stop(tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a")
    echo = sys.modules["click"].echo

    def broken(text="", err=False, **more):
        if " 4: " in text:
            raise BrokenPipeError
        echo(text, err=err, **more)

    monkeypatch.setattr("click.echo", broken)
    assert darkpy(monkeypatch, *command(folder)) == 130
    assert state(folder)[1]["trainer"]["iteration"] == 4


def test_a_run_is_made_longer(tmp_path, monkeypatch, capfd):
    folder = write_project(tmp_path / "a")
    assert darkpy(monkeypatch, *command(folder)) == 0
    assert darkpy(monkeypatch, *command(folder, "--resume")) == 2
    assert "is done with all max_batches=20" in capfd.readouterr().err
    longer = ("--resume", "--set", "net.max_batches=30")
    assert darkpy(monkeypatch, *command(folder, *longer)) == 0
    assert [int(row.split(b",")[0]) for row in figures(folder)[1:-1]] == list(range(1, 31))


def test_losses_that_are_not_finite_end_in_2(tmp_path, monkeypatch, capfd):
    folder = write_project(tmp_path / "a")
    high = ("--set", "net.learning_rate=1e30", "--set", "net.burn_in=0")
    assert darkpy(monkeypatch, *command(folder, *high)) == 2
    err = capfd.readouterr().err
    assert err.count("on at half the rate") == 3
    assert err.splitlines()[-1].startswith("error: iteration ") and "Traceback" not in err


LONGEST = 0.2  # seconds until a process is killed
WAIT = """
import os, sys
import cv2, matplotlib.backends.backend_agg, tensorboardX.record_writer
import darkpy.cli, darkpy.cli.train, darkpy.train.begin
from darkpy.kernels import ops
ops("cpu")
print("ready", flush=True)
os.read(0, 1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
darkpy.cli.main()
"""


def spawn(folder, words):
    """Start a process that loads darkpy, and then waits for a line: it takes longer than to train.

    What it says on stderr goes to a file.
    """
    with open(folder / "stderr.txt", "ab") as said:
        return subprocess.Popen(
            [sys.executable, "-c", WAIT, *map(str, words)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
        )


def go(process):
    """Wait until a process is ready, and let it go."""
    assert process.stdout.readline().strip() == b"ready"
    process.stdin.write(b"\n")
    process.stdin.flush()


def written(path):
    """Return when a file was written; 0 if it is not there."""
    return path.stat().st_mtime_ns if path.exists() else 0


def wait_for_save(path, before, process):
    while written(path) == before and process.poll() is None:
        time.sleep(0.002)


def end(process, kills):
    """Wait for the end of a process, or kill it."""
    if kills:
        process.kill()
    process.communicate()
    assert process.returncode == 0 or (kills and process.returncode in (-9, 1))
    return process.returncode == 0


@pytest.mark.slow
def test_killed_at_fifty_moments_it_ends_as_if_it_had_not_been(tmp_path):
    straight, parts = (write_project(tmp_path / name, "mosaic=1\nema_alpha=.9") for name in "ab")
    more = ("--set", "net.max_batches=600", "--save-every", 5, "--keep", 3, "--workers", 2)
    whole, first = spawn(straight, command(straight, *more)), spawn(parts, command(parts, *more))
    go(whole)
    again = command(parts, *more, "--resume")
    spares = [spawn(parts, again) for _ in range(2)]
    go(first)
    state_path = parts / "backup" / "runs" / "tiny-1" / "state.npz"
    wait_for_save(state_path, 0, first)
    end(first, kills=True)
    draws, kills, is_done = random.Random(0), 1, False
    try:
        while not is_done:
            process = spares.pop(0)
            spares.append(spawn(parts, again))
            before = written(state_path)
            go(process)
            if kills < KILLS:
                if kills % 2:  # the others are mostly hit before their first save
                    wait_for_save(state_path, before, process)
                time.sleep(draws.uniform(0, LONGEST))
            is_done = end(process, kills < KILLS)
            kills += not is_done
    finally:
        for process in spares:
            end(process, kills=True)
    assert end(whole, kills=False)
    assert kills == KILLS
    assert "Traceback" not in (parts / "stderr.txt").read_text()
    assert_same(straight, parts)
    assert not list(parts.rglob("*.partial"))
