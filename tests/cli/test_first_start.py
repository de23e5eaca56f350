"""The first start on a machine, which builds kernels: alone, at once with others, and without a
folder to keep them in."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tiny import write_model, write_picture

pytestmark = pytest.mark.slow
CFG = (ROOT / "cfg" / "shapes.cfg").read_text("utf-8")
WARNING = "compiled kernels cannot be kept in"


@pytest.fixture
def start(tmp_path):
    """Return a function that begins a detection in a process with caches of its own."""
    write_model(tmp_path)
    (tmp_path / "shapes.cfg").write_text(CFG)
    write_picture(tmp_path / "a.png", seed=1)
    code = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import darkpy, cv2\n"
        "import logging; logging.basicConfig()\n"
        "d = darkpy.load('shapes.cfg')\n"
        "x = cv2.imread('a.png')\n"
        "for _ in range(2):\n"
        "    print(len(d.detect(x, thresh=0.01)), flush=True)\n"
        "    sys.stdin.readline()\n"
    )
    caches = {name: str(tmp_path / "caches") for name in ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA")}

    def begin():
        return subprocess.Popen(
            [sys.executable, "-c", code, str(ROOT)], cwd=tmp_path, env=os.environ | caches,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return begin


def ended(process):
    """Let a process go on to its end; return what it printed."""
    out, err = process.communicate("\n\n", timeout=300)
    assert process.returncode == 0, err
    return out.split(), err


def folder(tmp_path) -> Path:
    return tmp_path / "caches" / "darkpy" / "kernels"


def test_a_start_after_the_first_is_quick(start, tmp_path):
    ended(start())
    before = time.monotonic()
    (first, second), err = ended(start())
    assert first == second and err == ""
    assert time.monotonic() - before < 15  # half a second, if the machine has time


def test_processes_that_begin_at_once(start):
    processes = [start() for _ in range(3)]
    found = [ended(one) for one in processes]
    assert all(err == "" for _, err in found)
    assert len({tuple(out) for out, _ in found}) == 1


def test_a_folder_that_cannot_be_written_is_said_once(start, tmp_path):
    folder(tmp_path).parent.mkdir(parents=True)
    folder(tmp_path).write_text("a file where the folder should be")
    (first, second), err = ended(start())
    assert first == second
    assert err.count(WARNING) == err.count("WARNING") == 1


@pytest.mark.parametrize("damage", ["deleted", "spoiled"])
def test_a_running_program_needs_its_folder_no_more(start, tmp_path, damage):
    process = start()
    first = process.stdout.readline().strip()
    (place,) = folder(tmp_path).iterdir()
    if damage == "deleted":
        shutil.rmtree(place)
    else:
        for file in place.iterdir():
            file.write_bytes(b"spoiled")
    (second,), err = ended(process)
    assert (first, err) == (second, "")
    assert ended(start())[0] == [first, second]
