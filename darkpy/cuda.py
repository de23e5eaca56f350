"""CUDA on this machine: what is there, and what is missing with what mends it.

The driver is asked by ctypes; CuPy is imported only where it is installed. Nothing here raises.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from .errors import shorten

log = logging.getLogger(__name__)

LIBRARIES = {
    "linux": ("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"),  # the second: Linux under Windows
    "win32": ("nvcuda.dll",),
}
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
NOBODY = "no GPU"
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
WHEELS = (  # of CuPy: name -> the CUDA it is built for, None where the name does not tell
    ("cupy", None),
    ("cupy-cuda11x", 11),
    ("cupy-cuda12x", 12),
    ("cupy-cuda13x", 13),
)
EXTRAS = (12, 13)  # CUDA versions that setup.py has an extra for
LEAST_CUPY = 14
LEAST_DRIVER = (12, 0)  # of CUDA
LEAST_CARD = (7, 5)  # compute capability: Turing, the first with ldmatrix and mma of m16n8k8
DRIVERS = "https://www.nvidia.com/drivers"
ON_CPU = "device 'cpu' computes on the processor"
SOURCE = """extern "C" __global__ void fill(float *x, float value) {
    x[blockIdx.x * blockDim.x + threadIdx.x] = value;
}"""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    what     its name
    value    what was found
    missing  a sentence: what is missing or wrong, and what mends it; empty if nothing is
    fault    whether darkpy cannot work as it is
    """

    what: str
    value: str
    missing: str = ""
    fault: bool = False


@dataclass(frozen=True)
class Card:
    """A GPU: its name, compute capability (major, minor), and bytes of memory."""

    name: str
    capability: tuple[int, int]
    memory: int


@dataclass(frozen=True)
class Driver:
    """What NVIDIA's driver says.

    version  of CUDA that it serves, (major, minor); (0, 0) if there is no driver
    cards    the GPUs, in its order
    error    why it does not work, or an empty string
    """

    version: tuple[int, int] = (0, 0)
    cards: tuple[Card, ...] = ()
    error: str = ""


class _Refused(Exception):
    """A call into the driver that gave an error."""


def refusal(device: str) -> str:
    """Return why darkpy cannot compute on "cuda" or "cuda:N", in one sentence; empty if it can."""
    index = int(device.partition(":")[2] or 0)
    for one in _findings(index):
        if one.missing:
            return f"device {device!r}: {one.missing}; {ON_CPU}"
    return ""


def usable() -> bool:
    """Return whether "cuda:0" computes; nothing is imported where no CuPy is installed.

    Where it is, and there is a GPU, what keeps them from computing is a warning in the log.
    """
    if not installed():
        return False
    missing = refusal("cuda:0")
    if missing and driver().cards:
        log.warning("%s", missing)
    return not missing


def findings() -> list[Finding]:
    """Return what there is of CUDA: driver, GPUs, CuPy, NVRTC. None of it is a fault."""
    return list(_findings(None))


def _findings(index: int | None) -> Iterator[Finding]:
    """Yield what there is, of all GPUs or of one; each finding rests on those before it."""
    found = driver()
    yield _of_driver(found)
    yield from _of_cards(found, index)
    wheels = installed()
    yield _of_wheels(wheels, found)
    if wheels:
        yield _of_cupy(found, wheels[0][0])
        yield _of_nvrtc(found, index, wheels[0][2] or _extra(found))


def driver() -> Driver:
    """Ask the driver."""
    for name in LIBRARIES.get(sys.platform, ()):
        try:
            return _ask(ctypes.CDLL(name))
        except OSError:  # there is no such library
            continue
        except AttributeError as error:  # it has no such function
            return Driver(error=f"{name} is no driver that is known: {error}")
    return Driver()


def _ask(library: Any) -> Driver:
    version = (0, 0)
    try:
        number = ctypes.c_int()
        _call(library, "cuDriverGetVersion", ctypes.byref(number))
        version = number.value // 1000, number.value % 1000 // 10
        _call(library, "cuInit", 0)
        _call(library, "cuDeviceGetCount", ctypes.byref(number))
        cards = tuple(_card(library, i) for i in range(number.value))
        if not cards:
            raise _Refused(NOBODY)
    except _Refused as error:
        return Driver(version, error=str(error))
    return Driver(version, cards)


def _card(library: Any, index: int) -> Card:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, memory = ctypes.create_string_buffer(256), ctypes.c_size_t()
    _call(library, "cuDeviceGet", ctypes.byref(device), index)
    _call(library, "cuDeviceGetName", name, len(name), device)
    _call(library, "cuDeviceGetAttribute", ctypes.byref(major), MAJOR, device)
    _call(library, "cuDeviceGetAttribute", ctypes.byref(minor), MINOR, device)
    _call(library, "cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    return Card(name.value.decode("utf-8", "replace"), (major.value, minor.value), memory.value)


def _call(library: Any, name: str, *args: Any) -> None:
    status = getattr(library, name)(*args)
    if status == NO_DEVICE:
        raise _Refused(NOBODY)
    if status:
        text = ctypes.c_char_p()
        library.cuGetErrorName(status, ctypes.byref(text))
        raise _Refused(f"{name} says {(text.value or b'error').decode()} ({status})")


def _of_driver(found: Driver) -> Finding:
    what = "NVIDIA driver"
    if found == Driver():
        if sys.platform not in LIBRARIES:
            return Finding(what, "none", f"there is no CUDA for {sys.platform}")
        names = LIBRARIES[sys.platform]
        missing = f"there is no NVIDIA driver ({names[0]}); where there is a GPU, {DRIVERS} has one"
        return Finding(what, "none", missing)
    value = f"for CUDA {_text(found.version)}" if any(found.version) else "there"
    if found.error == NOBODY:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        cause = "" if hidden is None else f": is it hidden by CUDA_VISIBLE_DEVICES={hidden}?"
        return Finding(what, value, f"the NVIDIA driver finds no GPU{cause}")
    if found.error:
        mend = f"start the machine anew, or install a driver from {DRIVERS}"
        return Finding(what, value, f"the NVIDIA driver does not work ({found.error}): {mend}")
    if found.version < LEAST_DRIVER:
        missing = (
            f"the NVIDIA driver serves CUDA {_text(found.version)}: expected "
            f"{_text(LEAST_DRIVER)} or more; install a newer one from {DRIVERS}"
        )
        return Finding(what, value, missing)
    return Finding(what, value)


def _of_cards(found: Driver, index: int | None) -> Iterator[Finding]:
    chosen = range(len(found.cards)) if index is None else (index,)
    for i in chosen:
        if i >= len(found.cards):
            count = len(found.cards)
            yield Finding(f"GPU {i}", "none", f"there is no GPU {i}: expected less than {count}")
            continue
        one = found.cards[i]
        value = f"{one.name}, compute capability {_text(one.capability)}, {one.memory >> 20} MiB"
        missing = ""
        if one.capability < LEAST_CARD:
            missing = (
                f"GPU {i}, {one.name}, has compute capability {_text(one.capability)}: expected "
                f"{_text(LEAST_CARD)} or more, which is another GPU"
            )
        yield Finding(f"GPU {i}", value, missing)


def installed() -> list[tuple[str, str, int | None]]:
    """Return (name, version, CUDA it is for) of each wheel of CuPy that is installed."""
    found = []
    for name, cuda in WHEELS:
        version = _version(name)
        if version is not None:
            found.append((name, version, cuda))
    return found


def _version(name: str) -> str | None:
    try:
        return str(metadata.version(name))
    except metadata.PackageNotFoundError:
        return None


def _of_wheels(wheels: list[tuple[str, str, int | None]], found: Driver) -> Finding:
    what, extra = "CuPy", _extra(found)
    names = [name for name, _, _ in wheels]
    value = ", ".join(f"{name} {version}" for name, version, _ in wheels) or "not installed"
    again = f"pip uninstall -y {' '.join(names)}, then {_install(extra)}"
    if not wheels:
        missing = f"CuPy is not installed: {_install(extra)}" if _usable(found) else ""
        return Finding(what, value, missing)
    if len(wheels) > 1:
        missing = f"{' and '.join(names)} overwrite each other's files: {again}"
        return Finding(what, value, missing)
    name, version, cuda = wheels[0]
    if cuda is not None and (cuda not in EXTRAS or (_usable(found) and cuda > extra)):
        whom = "the driver" if cuda in EXTRAS else "this version of darkpy"
        return Finding(what, value, f"{name} does not fit {whom}: {again}")
    major = version.partition(".")[0]
    if major.isdecimal() and int(major) < LEAST_CUPY:
        missing = f"{name} {version}: expected {LEAST_CUPY} or newer: {_install(cuda or extra)}"
        return Finding(what, value, missing)
    return Finding(what, value)


def _of_cupy(found: Driver, wheel: str) -> Finding:
    what = "CuPy finds a GPU"
    try:
        there = bool(_module("cupy").cuda.is_available())
    except Exception as error:  # whatever an installation that is broken says
        mend = f"pip install --force-reinstall {wheel}"
        if getattr(error, "filename", None):  # it makes the folder as it is imported
            mend = "let CUPY_CACHE_DIR name a folder that it may write to"
        return Finding(what, "no", f"CuPy cannot be imported ({_brief(error)}): {mend}")
    if there or not _usable(found):
        return Finding(what, "yes" if there else "no")
    missing = "CuPy finds no GPU, though the driver does: see what CUPY_ and CUDA_ variables say"
    return Finding(what, "no", missing)


def _of_nvrtc(found: Driver, index: int | None, extra: int) -> Finding:
    what = "NVRTC compiles"
    try:
        nvrtc = _module("cupy.cuda").nvrtc
        version: tuple[int, int] = tuple(nvrtc.getVersion())
        cards = found.cards if index is None else found.cards[index : index + 1]
        wanted = {one.capability for one in _usable(replace(found, cards=cards))}
        for capability in sorted(wanted or {(8, 0)}):
            _compile(nvrtc, capability)
        headers = _module("cuda.pathfinder").find_nvidia_header_directory("cudart")  # as CuPy does
    except Exception as error:
        missing = f"NVRTC compiles no kernel ({_brief(error)}): {_install(extra)}"
        return Finding(what, "no", missing)
    value = f"yes, {_text(version)}"
    if _usable(found) and version[0] > found.version[0]:
        missing = (
            f"NVRTC {_text(version)} is of a newer CUDA than the driver's {_text(found.version)}: "
            f"pip uninstall -y nvidia-cuda-nvrtc, then {_install(_extra(found))}"
        )
        return Finding(what, value, missing)
    if headers is None:
        return Finding(
            what, value, f"CUDA's headers (cuda_fp16.h) are not found: {_install(extra)}"
        )
    return Finding(what, value)


def _compile(nvrtc: Any, capability: tuple[int, int]) -> None:
    program = nvrtc.createProgram(SOURCE, "fill.cu", (), ())
    try:
        nvrtc.compileProgram(program, (f"-arch=sm_{capability[0]}{capability[1]}",))
    finally:
        nvrtc.destroyProgram(program)


def _module(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of several wheels at once, which is a finding
        return import_module(name)


def _usable(found: Driver) -> list[Card]:
    """Return the GPUs that are new enough, if the driver is."""
    new = found.version >= LEAST_DRIVER
    return [one for one in found.cards if new and one.capability >= LEAST_CARD]


def _extra(found: Driver) -> int:
    """Return the CUDA version whose extra of setup.py fits the driver best."""
    return 12 if (0, 0) < found.version < (13, 0) else 13


def _install(extra: int) -> str:
    """Return what installs an extra: by darkpy's name, or in a checkout that is not installed."""
    root = Path(__file__).parents[1]
    here = _version("darkpy-yolo") is None and (root / "setup.py").is_file()
    return f'pip install "{root if here else "darkpy-yolo"}[cuda{extra}]"'


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"


def _brief(error: Exception) -> str:
    return shorten(" ".join(str(error).split()) or type(error).__name__, 120)
