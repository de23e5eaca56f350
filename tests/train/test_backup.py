"""What a run saves: at which times, on a disk that is full, and after an end at any moment."""

import errno
import os
from contextlib import closing

import pytest

from darkpy.errors import DarkpyError, TrainingError
from darkpy.train import backup, loop, record
from tests.train.project import Silent, assert_same, prepared, state, train, weights, write_project


@pytest.fixture(autouse=True)
def _no_chart(monkeypatch):
    """Draw none: it takes most of the time, and has its own tests."""
    monkeypatch.setattr(record, "draw_chart", lambda *_, **__: b"")
    monkeypatch.setattr(record, "draw_worst", lambda *_, **__: [])


class Interrupted(Silent):
    """Ends the process, so to speak, in the midst of a step or of a save."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def fed(self, batch):
        if len(self.told) == self.at:
            raise KeyboardInterrupt


def test_ended_at_once_and_resumed_is_as_without(tmp_path):
    straight, parts = (write_project(tmp_path / name) for name in "ab")
    train(straight, save_every=4)
    with pytest.raises(KeyboardInterrupt):
        train(parts, save_every=4, watch=Interrupted(10))
    assert state(parts)[1]["trainer"]["iteration"] == 8
    train(parts, save_every=4, resume=True)
    assert_same(straight, parts)


def test_a_long_time_without_a_save_ends_in_one(tmp_path, monkeypatch):
    straight, parts = (write_project(tmp_path / name) for name in "ab")
    train(straight)
    monkeypatch.setattr(backup, "LONGEST_UNSAVED", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(parts, watch=Interrupted(10))
    assert state(parts)[1]["trainer"]["iteration"] == 10
    train(parts, resume=True)
    assert_same(straight, parts)


def test_of_the_numbered_weights_the_newest_are_kept(tmp_path):
    folder = write_project(tmp_path / "a")
    (folder / "backup").mkdir()
    (folder / "backup" / "tiny_9000.weights").write_bytes(b"of an earlier run")
    train(folder, save_every=3, keep=2)
    numbered = {name for name in weights(folder) if name[5].isdecimal()}
    assert numbered == {"tiny_15.weights", "tiny_18.weights", "tiny_9000.weights"}


class Disk:
    """A disk that is full for a while: files of some names cannot be written to the end."""

    def __init__(self, monkeypatch, *endings):
        self.endings = endings
        self.full = False
        self.refused = []
        replace = os.replace

        def refuse(source, target, **more):
            if self.full and str(target).endswith(self.endings):
                self.refused.append(str(target))
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replace(source, target, **more)

        monkeypatch.setattr(os, "replace", refuse)


class Filling(Silent):
    def __init__(self, disk, first, last):
        super().__init__()
        self.disk, self.first, self.last = disk, first, last

    def fed(self, batch):
        self.disk.full = self.first <= len(self.told) + 1 <= self.last


@pytest.mark.parametrize("endings", [(".npz", ".weights", ".png", ".txt"), (".weights",)])
def test_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch, caplog, endings):
    straight, parts = (write_project(tmp_path / name) for name in "ab")
    train(straight, save_every=4)
    disk = Disk(monkeypatch, *endings)
    train(parts, save_every=4, watch=Filling(disk, 6, 14))
    assert disk.refused
    missing = weights(straight).keys() - weights(parts).keys()
    assert missing == {"tiny_8.weights", "tiny_12.weights"}
    for name in missing:
        (straight / "backup" / name).unlink()
    assert_same(straight, parts)
    words = [one.message for one in caplog.records if "No space left" in one.message]
    assert len(words) == len(set(words)) and "tries again" in words[0]
    assert not list(parts.rglob("*.partial"))


def test_a_disk_that_stays_full_ends_in_an_error_and_the_last_state_holds(tmp_path, monkeypatch):
    straight, parts = (write_project(tmp_path / name) for name in "ab")
    train(straight, save_every=4)
    disk = Disk(monkeypatch, ".npz", ".weights")
    with pytest.raises(TrainingError, match=r"state.npz: .*No space left.* is iteration 4"):
        train(parts, save_every=4, watch=Filling(disk, 6, 99))
    disk.full = False
    train(parts, save_every=4, resume=True)
    assert_same(straight, parts)


def test_a_disk_that_is_full_at_once(tmp_path, monkeypatch):
    folder = write_project(tmp_path / "a")
    Disk(monkeypatch, ".npz", ".weights").full = True
    watch = Silent()
    with pytest.raises(DarkpyError, match="No space left"):
        train(folder, watch=watch)
    assert not watch.told


class Removing(Silent):
    """Takes the backup folder away, so that its place cannot be a folder for a while."""

    def __init__(self, folder, at, back):
        super().__init__()
        self.backup, self.away = folder / "backup", folder / "away"
        self.at, self.back = at, back

    def fed(self, batch):
        if len(self.told) + 1 == self.at:
            self.backup.rename(self.away)
            self.backup.write_text("not a folder")
        if len(self.told) + 1 == self.back:
            self.backup.unlink()
            self.away.rename(self.backup)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not rename a folder with open files")
def test_a_backup_folder_that_goes_and_comes_back(tmp_path):
    straight, parts = (write_project(tmp_path / name) for name in "ab")
    train(straight, save_every=4)
    train(parts, save_every=4, watch=Removing(parts, 7, 11))
    (straight / "backup" / "tiny_8.weights").unlink()
    assert_same(straight, parts)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not rename a folder with open files")
def test_a_backup_folder_that_is_removed_is_made_again(tmp_path, caplog):
    folder = write_project(tmp_path / "a")

    class Gone(Removing):
        def fed(self, batch):
            if len(self.told) + 1 == self.at:
                self.backup.rename(self.away)

    train(folder, save_every=4, watch=Gone(folder, 7, 0))
    assert "tiny_final.weights" in weights(folder)
    run = prepared(folder, resume=True, settings=("net.max_batches=22",))
    with closing(run.record):
        assert run.go().iteration == 22


def test_best_weights_that_cannot_be_written_are_not_said_to_be_there(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LEAST_BETWEEN", 4)
    folder = write_project(tmp_path / "a")
    disk = Disk(monkeypatch, "best.weights")
    disk.full = True
    _, ending = train(folder, evaluate=True, map_epochs=2)
    assert disk.refused and ending.best_weights is None
