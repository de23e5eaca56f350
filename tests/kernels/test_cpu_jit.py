import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from darkpy.kernels.cpu import jit
from tests.conftest import ROOT

HOMES = ("HOME", "USERPROFILE", "LOCALAPPDATA", "XDG_CACHE_HOME")
RUN = """
import importlib, numpy as np
from darkpy.kernels import ops
x = np.ones((1, 2, 3, 4), np.float32)
print(ops("cpu").activate(x, "leaky").sum())
print(ops("cpu").maxpool(x, size=2, stride=(2, 2), padding=1).sum())
module = importlib.import_module("darkpy.kernels.cpu.activate")
statistics = module.kernel("leaky").stats
kept = bool(statistics.cache_path)
print(kept, sum(statistics.cache_hits.values()), sum(statistics.cache_misses.values()))
"""


def run(checkout: Path, **environment: str) -> list[str]:
    """Run the text above in a checkout; return the lines it prints."""
    kept = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-B", "-c", RUN],
        cwd=checkout,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the package and the kernels without compiled code."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("darkpy", "kernels"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "setup.py", tmp_path)
    return tmp_path


def test_code_is_compiled_once_and_anew_when_a_row_has_changed(checkout):
    assert run(checkout) == ["24.0", "8.0", "True 0 1"]
    assert run(checkout) == ["24.0", "8.0", "True 1 0"]
    rows = checkout / "kernels" / "common" / "activations.py"
    text = rows.read_text("utf-8")
    leaky = "return np.maximum(x, F(0.1) * x)"
    assert text.count(leaky) == 1
    rows.write_text(text.replace(leaky, "return x * F(3)"), "utf-8")
    assert run(checkout) == ["72.0", "8.0", "True 0 1"]


@pytest.fixture
def read_only(checkout: Path) -> Path:
    """A checkout where no code can be kept; a file for a folder refuses even the superuser."""
    for folder in (checkout / "kernels").iterdir():
        if folder.is_dir():
            (folder / "__pycache__").write_text("")
    return checkout


def test_beside_a_source_that_is_read_only_code_is_kept_with_the_user(read_only, tmp_path):
    home = dict.fromkeys(HOMES, str(tmp_path / "home"))
    assert run(read_only, **home) == ["24.0", "8.0", "True 0 1"]
    assert run(read_only, **home) == ["24.0", "8.0", "True 1 0"]


def test_it_works_where_no_folder_can_be_written(read_only):
    (read_only / "file").write_text("")
    home = dict.fromkeys(HOMES, str(read_only / "file"))
    assert run(read_only, **home) == ["24.0", "8.0", "False 0 1"]


def test_a_mark_changes_with_the_text(tmp_path):
    path = tmp_path / "one.py"
    module = SimpleNamespace(__file__=str(path))
    marks = []
    for text in ("a = 1\n", "a = 2\n"):
        path.write_text(text)
        marks.append(jit.digest(module))
    path.unlink()
    assert len({*marks, jit.digest(module)}) == 3
