"""The door to the kernels: a checkout keeps them in top-level kernels/, a wheel carries them here.

The top-level folder is never installed under its own name, which on PyPI is another project's. So
this package looks for its sub-packages in its own folder, and, in a checkout, in ../../kernels:
uninstalled, in an editable install, and in a second work tree beside one, each `darkpy` finds
the kernels that lie next to it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ..errors import DeviceError, OutOfMemory

_here = Path(__file__).resolve().parent
if not (_here / "reference").is_dir():  # not a wheel
    __path__.append(str(_here.parents[1] / "kernels"))


def ops(device: str) -> SimpleNamespace:
    """Return the kernels of a device, as attributes: the reference ops, overlaid by its own.

    device   "cpu"; "reference" for the array code alone, which is the truth in tests
    returns  a namespace with every op by name, and ``device``
    raises   DeviceError for another device: on a GPU there are plans alone (darkpy.plan.cuda)

    A device's own kernel is imported, and Numba with it, when it is first asked for.
    """
    if device not in ("cpu", "reference"):
        raise DeviceError(f"device {device!r}: expected 'cpu' or 'reference'")
    reference = import_module(".reference", __name__)
    table = {name: getattr(reference, name) for name in reference.__all__}
    if device == "reference":
        return SimpleNamespace(**table, device=device)
    own = import_module(f".{device}", __name__)
    for name in own.__all__:
        table.pop(name, None)
    return Overlaid(**table, _own=own, device=device)


def gpu(device: str) -> Any:
    """Return the `kernels.cuda.device.Device` that "cuda" (the first GPU) or "cuda:N" names.

    raises  DeviceError if there is no such device here, with what is missing
    """
    if not isinstance(device, str) or not re.fullmatch(r"cuda(:[0-9]{1,4})?", device):
        raise DeviceError(f"device {device!r}: expected 'auto', 'cpu', 'cuda' or 'cuda:N'")
    from ..cuda import refusal

    if missing := refusal(device):
        raise DeviceError(missing)
    return _opened(int(device.partition(":")[2] or 0))


@cache
def _opened(index: int) -> Any:
    return import_module(".cuda.device", __name__).open_device(index, DeviceError, OutOfMemory)


def launchers() -> Any:
    """Return the ops of a GPU by name: each gives the launches that compute it (kernels/cuda)."""
    return import_module(".cuda", __name__)


class Overlaid(SimpleNamespace):
    """Ops by name; a device's own are looked up in its package, ``_own``, when first asked for."""

    def __getattr__(self, name: str) -> Any:
        own = vars(self).get("_own")
        if own is None or name not in own.__all__:
            raise AttributeError(f"there is no op {name!r}")
        op = getattr(own, name)
        setattr(self, name, op)
        return op
