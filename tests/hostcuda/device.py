"""The device of the tests: kernels run on the CPU, on numpy arrays."""

from functools import partial

import numpy as np

from darkpy.kernels.cuda.device import Device

from .module import RawModule, Settings


def host_device(
    settings: Settings | None = None, *, arch: int = 90, processors: int = 132
) -> Device:
    """Return a Device as that of an H200, whose kernels run as ``settings`` say."""
    module = partial(RawModule, settings=settings or Settings())
    return Device(np, module, arch=arch, processors=processors, most_shared=227 << 10)
