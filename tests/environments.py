"""Virtual environments for tests: they see the running one's libraries, and fetch nothing."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from tests.conftest import ROOT

CARRIED = ("darkpy", "kernels", "cfg", "scripts", ".ci")
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")


def checkout(folder: Path) -> Path:
    """Copy into ``folder`` what a clone of this repository would have, but the tests."""
    folder.mkdir()
    passing = shutil.ignore_patterns("__pycache__", "*.weights")
    for name in CARRIED:
        shutil.copytree(ROOT / name, folder / name, ignore=passing)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    return folder


def environment(folder: Path, *more: Path) -> Path:
    """Make a virtual environment with the libraries of this one, less darkpy; return its Python.

    more  folders to find modules in, as an editable install would add them
    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scheme = "nt" if os.name == "nt" else "posix_prefix"
    base = {"base": str(folder), "platbase": str(folder)}
    site_packages = Path(sysconfig.get_path("purelib", scheme, base))
    # a .pth file within a folder that a .pth file names is not read: no editable install leaks in
    libraries = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (site_packages / "libraries.pth").write_text("\n".join([*libraries, *map(str, more)]))
    name = "python.exe" if os.name == "nt" else "python"
    return Path(sysconfig.get_path("scripts", scheme, base)) / name


def run(*command: object, cwd: Path, status: int = 0) -> str:
    """Run a command that must end with ``status``; return what it printed, stderr last."""
    quiet = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=quiet, capture_output=True, text=True)
    assert done.returncode == status, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def pip(python: Path, *arguments: object, cwd: Path) -> None:
    """Run pip for an environment that has none; nothing may be fetched."""
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, *arguments, "--no-deps", "--no-build-isolation", "--no-index", cwd=cwd)
