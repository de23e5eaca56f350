"""The door to the kernels: a checkout keeps them in top-level kernels/, a wheel carries them here.

The top-level folder is never installed under its own name, which on PyPI is another project's. So
this package looks for its sub-packages in its own folder, and, in a checkout, in ../../kernels:
uninstalled, in an editable install, and in a second work tree beside one, each `darkpy` finds
the kernels that lie next to it.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from ..errors import DeviceError

_here = Path(__file__).resolve().parent
if not (_here / "reference").is_dir():  # not a wheel
    __path__.append(str(_here.parents[1] / "kernels"))


def ops(device: str) -> SimpleNamespace:
    """Return the kernels of a device, as attributes: the reference ops, overlaid by its own.

    device   "cpu"; "reference" for the array code alone, which is the truth in tests
    returns  a namespace with every op by name, and ``device``
    raises   DeviceError if there is no such device here

    Numba is imported by this call and not before.
    """
    if device not in ("cpu", "reference"):
        raise DeviceError(_refusal(device))
    table = _public(import_module(".reference", __name__))
    if device != "reference":
        table |= _public(import_module(f".{device}", __name__))
    return SimpleNamespace(**table, device=device)


def _public(module: ModuleType) -> dict[str, Any]:
    return {name: getattr(module, name) for name in module.__all__}


def _refusal(device: str) -> str:
    if re.fullmatch(r"cuda(:\d+)?", device):
        return f"device {device!r}: this version has no CUDA kernels yet; use 'cpu'"
    return f"device {device!r}: expected 'cpu'"
