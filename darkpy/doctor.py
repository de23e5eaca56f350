"""What this machine has of all that darkpy needs, and what mends what is missing."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib import import_module, metadata
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from . import cuda
from .cuda import Finding
from .errors import shorten

if TYPE_CHECKING:
    from .plan import Progress

LIBRARIES = {  # name -> its module, and what pip calls it
    "numpy": ("numpy", "numpy"),
    "llvmlite": ("llvmlite", "llvmlite"),
    "Numba": ("numba", "numba"),
    "OpenCV": ("cv2", "opencv-python"),
}
WORKS = ("building", "choosing")  # locks that lie among kernels that are kept
EXACT = 1e-4  # of outputs about 1: sums of 144 products in float32, or by Winograd's way


def report(version: str, progress: Progress | None = None) -> list[Finding]:
    """Look for all that darkpy uses; a finding each, in the order in which they rest on others.

    version   of darkpy
    progress  called with (how many are done, of how many) while kernels are built for this machine

    Nothing raises. Where a library is a fault, the processor's kernels are not looked at.
    """
    found = [*_system(version), *(_library(name) for name in LIBRARIES)]
    if healthy(found):
        found += _guarded("processor", _processor)
        found += _guarded("kernels run", lambda: _kernels(progress))
        found += _guarded("cache folder", _cache)  # with what was just built
        found += _guarded("MPI", _mpi, fault=False)
    return found + _guarded("CUDA", lambda: cuda.findings(), fault=False)


def healthy(found: list[Finding]) -> bool:
    """Return whether darkpy works with what was found; without a GPU it does."""
    return not any(one.fault for one in found)


def _guarded(what: str, look: Callable[[], list[Finding]], fault: bool = True) -> list[Finding]:
    """Return what a look finds, or that it failed."""
    try:
        return look()
    except Exception as error:  # a report says what is wrong, whatever it is
        said = shorten(" ".join(f"{type(error).__name__}: {error}".split()), 200)
        return [Finding(what, "failed", f"looking at it failed with {said}", fault)]


def _system(version: str) -> Iterator[Finding]:
    yield Finding("darkpy", f"{version} in {Path(__file__).parent}")
    yield Finding("system", platform.platform())
    yield Finding("Python", f"{platform.python_version()}, {sys.executable}")


def _library(name: str) -> Finding:
    module, package = LIBRARIES[name]
    try:
        with redirect_stdout(StringIO()):  # where OpenCV tells that it has no numpy
            return Finding(name, str(import_module(module).__version__))
    except ModuleNotFoundError as error:
        if error.name == module:
            return Finding(name, "none", f"{name} is not installed: pip install {package}", True)
        return _broken(name, package, error)
    except Exception as error:  # whatever an installation that is broken says
        return _broken(name, package, error)


def _broken(name: str, package: str, error: Exception) -> Finding:
    said = shorten(" ".join(str(error).split()), 120)
    mend = f"pip install --force-reinstall {package}"
    return Finding(name, "broken", f"{name} cannot be imported ({said}): {mend}", True)


def _processor() -> list[Finding]:
    from .kernels.cpu.engine import bf16, probe, team
    from .plan.bf16 import vectors

    halves = {"amx": "by AMX", "bf16": "by AVX512-BF16", None: "not on this processor"}
    return [
        Finding("processor", probe.processor()),
        Finding("vector code", vectors()),
        Finding("bf16", halves[bf16.available()]),
        Finding("threads", f"{team.most()} of {os.cpu_count()} processors"),
    ]


def _mpi() -> list[Finding]:
    """Look for what several processes that train together need; no library of MPI is loaded."""
    from .train.ranks import INSTALL, launcher

    start = launcher()
    try:
        value = f"mpi4py {metadata.version('mpi4py')}"
    except metadata.PackageNotFoundError:
        value = ""
    if value and start:
        return [Finding("MPI", f"{value}, {start}")]
    absent = "mpiexec" if value else "mpi4py"
    missing = f"several processes cannot train together, for there is no {absent}: {INSTALL}"
    return [Finding("MPI", value or "none", missing)]


def _cache() -> list[Finding]:
    """Look at the folder of kernels that are kept."""
    from .kernels.cpu.engine import store

    place = Path(store.folder())
    missing = ""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        missing = (
            f"compiled kernels cannot be kept in {place} ({error.strerror}), so every start "
            f"compiles them: make it writable, or {_elsewhere()}"
        )
    count, size = _content(place)
    return [
        Finding(
            "cache folder", f"{place}, {'cannot be written' if missing else 'writable'}", missing
        ),
        Finding("kernels kept", f"{count}, {size / 1e3:.0f} kB"),
    ]


def _elsewhere() -> str:
    if sys.platform == "darwin":
        return "give it to your user with chown"
    name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    return f"set {name} to a folder that is"


def _content(place: Path) -> tuple[int, int]:
    """Return how many kernels a folder holds, and their bytes."""
    try:
        files = [one for one in place.iterdir() if not one.suffix and one.name not in WORKS]
        return len(files), sum(one.stat().st_size for one in files)
    except OSError:
        return 0, 0


def _kernels(progress: Progress | None) -> list[Finding]:
    """Compute a convolution by a plan, which builds its kernels if they are not kept."""
    import numpy as np

    from . import kernels
    from .layers.base import Shape
    from .layers.convolutional import Convolutional
    from .network import Network
    from .plan import compile
    from .run import Tape

    layer = Convolutional(filters=16, size=3, pad=True, activation="leaky")
    network = Network.from_layers([layer], Shape(16, 13, 13))
    rng = np.random.default_rng(0)
    params = network.initial_params(rng)
    x = rng.random((1, 16, 13, 13), np.float32)
    wanted = Tape(network, params, kernels.ops("reference")).forward(x)[0]
    error = float(np.abs(compile(network, params, progress=progress)(x)[0] - wanted).max())
    if error < EXACT:
        return [Finding("kernels run", f"yes, within {error:.0e} of the definition")]
    from .kernels.cpu.engine import store

    missing = f"kernels compute wrongly, by {error:.0e}: remove the folder {store.folder()}"
    return [Finding("kernels run", "wrongly", missing, fault=True)]
