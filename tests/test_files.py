"""Writing files whole or not at all, and only what is a file."""

import os
import stat
import threading

import pytest

from darkpy import DarkpyError
from darkpy.files import keep_as, make_folder, remove_partials, replacing, write_text


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"ne")
        assert path.read_text() == "old"
        file.write(b"w")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("no more"), ValueError("x"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    expected = DarkpyError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), replacing(path) as file:
        file.write(b"new")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_has_gone_is_not_the_fault_of_the_file(tmp_path):
    with pytest.raises(BrokenPipeError), replacing(tmp_path / "a.txt"):
        raise BrokenPipeError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["", ".", "/", "none/a", "folder", "\0", "x" * 300], ids=ascii)
def test_what_cannot_be_written_is_said(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DarkpyError, match=r"cannot be written|expected the name of a file"):
        write_text(path, "text")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_a_long_name_of_letters_of_four_bytes(tmp_path):
    path = tmp_path / ("\U0001f642" * 60)  # 240 of 255 bytes
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes no such names")
    write_text(path, "text")
    assert path.read_text() == "text"


def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    try:
        link.symlink_to(real)
    except OSError:
        pytest.skip("no symbolic links here")
    write_text(link, "new")
    assert link.is_symlink() and real.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [link, real]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_written_and_not_replaced(tmp_path):
    """As /dev/null, which would otherwise become a file for all programs, if the user is root."""
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_text(pipe, "text")
    reader.join()
    assert read == [b"text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_folders_are_made(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "x", "\0"):
        with pytest.raises(DarkpyError, match="cannot be made"):
            make_folder(path)


def test_what_a_killed_process_left_is_found_by_the_name_it_was_for(tmp_path):
    with replacing(tmp_path / "a.weights") as file:
        (left,) = tmp_path.iterdir()
        file.write(b"half")
    left.write_bytes(b"half")
    others = ["b.weights.0123abcd.partial", "a.weights.partial", "a.weights"]
    for name in others:
        (tmp_path / name).write_bytes(b"whole")
    remove_partials(tmp_path, r"a\.weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    remove_partials(tmp_path / "nowhere")


def test_what_is_kept_stays_when_the_file_is_written_anew(tmp_path):
    path, kept = tmp_path / "a.txt", tmp_path / "deep" / "kept.txt"
    for text in ("one", "two"):
        write_text(path, text)
        keep_as(path, kept)
        assert kept.read_text() == text
    write_text(path, "three")
    assert kept.read_text() == "two"
    with pytest.raises(DarkpyError, match=r"kept.txt: cannot be written"):
        keep_as(tmp_path / "nowhere", kept)
