"""Object code, kept in the user's cache folder: found by what it is made of, or built.

What code is made of: the text of every file that writes it, the versions of LLVM and Numba, and
the processor. So an edit, an upgrade or another machine never meets stale code. A file is written
under another name and then renamed, and carries a sum of its bytes: several processes may build at
once, and one that is broken is built again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import threading
import time
import zlib
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm

from . import target

SUM = 4  # bytes of the sum at a file's end
STALE = 30 * 24 * 3600  # seconds after which a folder nobody has used is removed
SLOW = 30  # seconds without a new file after which another process is not waited for
TURN = 0.05  # seconds between two looks at what it does
CHOICES = "choices.json"
SETTINGS = ("NUMBA_OPT", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")

log = logging.getLogger(__name__)
_lock = threading.RLock()
_known = {}  # of each target, the address of each name
_warned = set()  # folders
_choices = {}  # of each folder, what `remember` was told


def addresses(names, progress=None):
    """Return the address of each name's code: a `records.Kernel`, or "file.name" of a driver.

    progress  called with (how many are done, of how many) while some are built

    What is not kept yet is built and kept; where the folder cannot be written, it is built by
    every process.
    """
    with _lock:
        known = _known.setdefault(target.host(), {})
        missing = {name: symbol(name) for name in names if name not in known}
        if missing:
            known |= _load(missing, progress)
        return {name: known[name] for name in names}


def symbol(name):
    """Return the name that a kernel or driver has in object code and as a file."""
    if isinstance(name, str):
        return "driver_" + name.replace(".", "_")
    mark = hashlib.sha256(str(name).encode()).hexdigest()[:12]
    return f"{name.file}_{name.name}_{mark}"


def _load(missing, progress):
    """Return the address of each name, given the symbols."""
    found = {name: _read(s) for name, s in missing.items()}
    absent = [name for name, code in found.items() if code is None]
    if absent:
        for name, code in _build(absent, progress or ignore):
            found[name] = code
    engine = _engine(target.host())
    for code in found.values():
        engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return {name: engine.get_function_address(s) for name, s in missing.items()}


def _build(absent, progress):
    """Yield (name, code) of what is not kept, by another process that builds now or by this one."""
    from .build import build

    total = len(absent)
    progress(0, total)
    _tidy()
    with _alone(
        "building", lambda: sum(_read(symbol(n)) is not None for n in absent), progress, total
    ):
        kept = {name: _read(symbol(name)) for name in absent}
        yield from ((name, code) for name, code in kept.items() if code is not None)
        left = [name for name, code in kept.items() if code is None]
        for done, (name, code) in enumerate(build(left), total - len(left) + 1):
            if _sources() == _digest():  # else it may be made by what was edited meanwhile
                _keep(symbol(name), code + _sum(code))
            yield name, code
            progress(done, total)


def ignore(done, total):
    """Show no progress."""


@contextmanager
def _alone(what, count, progress, total):
    """Hold the lock of a work, so that processes that start at once do not all do the same.

    Who holds it is waited for while ``count()``, what this process finds of its own, grows.
    """
    try:
        folder().mkdir(parents=True, exist_ok=True)
        file = open(folder() / what, "a")
    except OSError:
        yield
        return
    with file:
        before, patient_until = 0, time.monotonic() + SLOW
        while not _locked(file) and time.monotonic() < patient_until:
            time.sleep(TURN)
            now = count()
            if now > before:
                progress(now, total)
                before, patient_until = now, time.monotonic() + SLOW
        yield


def _locked(file):
    """Lock a file if nobody has; it is unlocked when it is closed, or the process ends."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        pass
    return True


@cache
def _engine(host):
    """Return LLVM's holder of loaded code; it lives as long as the process."""
    with suppress(OSError):
        os.utime(folder())  # it is in use
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), host.machine())


def _sum(code):
    return zlib.crc32(code).to_bytes(SUM, "little")


def _read(name):
    """Return the code that is kept under a name, or None."""
    try:
        content = (folder() / name).read_bytes()
    except OSError:
        return None
    code, total = content[:-SUM], content[-SUM:]
    return code if code and _sum(code) == total else None


def _keep(name, content):
    """Write a file whole or not at all."""
    place = folder()
    try:
        place.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=place, prefix=name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, place / name)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        _warn(place, error)


def _warn(place, error):
    if place not in _warned:
        _warned.add(place)
        log.warning(
            "compiled kernels cannot be kept in %s (%s): every start compiles them", place, error
        )


def _tidy():
    """Remove the folders of sources, versions or processors that nobody has used for long."""
    try:
        for place in root().iterdir():
            mark = re.fullmatch("[0-9a-f]{16}", place.name)
            if mark and place != folder() and place.stat().st_mtime < time.time() - STALE:
                shutil.rmtree(place, ignore_errors=True)
    except OSError:
        pass


def remember(key, value):
    """Keep a choice for this machine; ``value`` is anything that JSON can say."""
    with _lock:
        with _alone("choosing", lambda: 0, ignore, 0):
            kept = _read_choices() | {key: value}
            _keep(CHOICES, json.dumps(kept, indent=0, sort_keys=True).encode())
        _choices[folder()] = _choices.get(folder(), {}) | kept


def recall(key):
    """Return what was kept under a key, by any process, before this one first asked; or None."""
    with _lock:
        if folder() not in _choices:
            _choices[folder()] = _read_choices()
        return _choices[folder()].get(key)


def _read_choices():
    try:
        kept = json.loads((folder() / CHOICES).read_bytes())
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}


def folder():
    """Return where object code of these sources, versions and this processor is kept."""
    return root() / _mark(target.host())


def root():
    """Return the folder of all object code, where this system keeps caches."""
    try:
        home = Path.home()
    except RuntimeError:  # a user without one
        home = Path(tempfile.gettempdir())
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "darkpy" / "kernels"


@cache
def _mark(host):
    """Return a digest of all that code is made of."""
    digest = hashlib.sha256(_sources())
    settings = [os.environ.get(name, "") for name in SETTINGS]
    versions = [llvmlite.__version__, str(llvm.llvm_version_info), _version_of_numba()]
    for text in (*versions, *settings, host.triple, host.cpu, host.features, str(host.registers)):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


@cache
def _sources():
    """Return the digest of the files that code is made by, as they were at the start."""
    return _digest()


def _digest():
    """Return a digest of the files that code is made by; in a program without them, of that."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    files = sorted([*here.rglob("*.py"), *(here.parents[1] / "common").glob("*.py")])
    for file in files:
        text = file.read_bytes()
        digest.update(
            f"{file.relative_to(here.parents[1]).as_posix()} {len(text)} ".encode() + text
        )
    if not files:
        about = os.stat(sys.executable)
        digest.update(f"{about.st_size} {about.st_mtime_ns}".encode())
    return digest.digest()


def _version_of_numba():
    """Return what tells Numba's versions apart, without importing it."""
    spec = importlib.util.find_spec("numba")
    try:
        return (Path(spec.origin).parent / "_version.py").read_text("utf-8")
    except (OSError, AttributeError, TypeError):
        from importlib.metadata import version

        return version("numba")


def _renew():
    """In a child of a fork no thread is left that holds the lock or goes on loading."""
    global _lock
    if not _lock.acquire(blocking=False):
        _known.clear()
        _engine.cache_clear()
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
