"""Make the virtual environment .venv of this checkout, once, and run commands in it.

The scripts beside this file call it with whatever Python is there; nothing but the standard
library is needed, and nothing is installed again until setup.py or pyproject.toml changes.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "installed"
NEEDED = (3, 11)


def run(*command, cwd=ROOT, read=False):
    """Run ``python COMMAND...`` of the environment; return its exit status.

    cwd   the folder to run in; the checkout unless another is given
    read  return the status and what was printed instead
    """
    prepare()
    sys.stdout.flush()
    words = [str(PYTHON), *map(str, command)]
    done = subprocess.run(words, cwd=str(cwd), stdout=subprocess.PIPE if read else None)
    return (done.returncode, done.stdout.decode()) if read else done.returncode


def prepare():
    """Make .venv with darkpy and what its tests need, unless that is already done."""
    wanted = fingerprint()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text("utf-8") == wanted:
        return
    say("setting up .venv (once; takes a minute or two)")
    if not PYTHON.exists():
        must([suitable_python(), "-m", "venv", "--clear", str(VENV)], "could not make .venv")
    install("--editable", f"{ROOT}[test]")
    if subprocess.call([str(PYTHON), "-c", "import cv2"], stderr=subprocess.DEVNULL):
        say("opencv-python does not load here (no window system); taking opencv-python-headless")
        must([str(PYTHON), "-m", "pip", "uninstall", "--yes", "--quiet", "opencv-python"], "pip")
        install("--force-reinstall", "--no-deps", "opencv-python-headless>=4.5,<6")
    STAMP.write_text(wanted, "utf-8")


def install(*what):
    """Install with the environment's pip, which keeps the index this machine is set to."""
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    must([*pip, *what], "could not install; is there a network or a package index?")


def fingerprint():
    """Return a digest of the files that say what must be installed."""
    texts = [(ROOT / name).read_bytes() for name in ("setup.py", "pyproject.toml")]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def suitable_python():
    """Return a Python that darkpy can use: this one, or a newer one on the path."""
    if sys.version_info >= NEEDED:
        return sys.executable
    for minor in range(NEEDED[1], NEEDED[1] + 10):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    return leave("darkpy needs Python 3.11 or newer; this is " + sys.version.split()[0])


def must(command, otherwise):
    """Run a command; leave with the sentence ``otherwise`` if it fails."""
    if subprocess.call(command, cwd=str(ROOT)):
        leave(otherwise)


def say(text):
    """Tell the person at the terminal, on stderr."""
    print(text, file=sys.stderr, flush=True)


def leave(text):
    """Say why and exit with status 2."""
    say(text)
    raise SystemExit(2)
