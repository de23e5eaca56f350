"""The device of the tests: kernels run on the CPU, on numpy arrays."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from darkpy.kernels.cuda.device import ALIGNMENT, Device

from . import on_gpu
from .module import RawModule, Settings


class HostDevice(Device):
    """A Device whose arrays are numpy's, and lie as a GPU's would: at multiples of 256 bytes."""

    def empty(self, count: int, dtype: Any) -> np.ndarray:
        """Return a flat array of no numbers, or of -1: nobody has written it."""
        size = count * np.dtype(dtype).itemsize
        raw = np.full(size + ALIGNMENT, 0xFF, np.uint8)
        start = -raw.ctypes.data % ALIGNMENT
        return raw[start : start + size].view(dtype)

    def zeros(self, count: int, dtype: Any) -> np.ndarray:
        """Return a flat array of zeros."""
        found = self.empty(count, dtype)
        found[...] = 0
        return found

    def upload(self, array: Any) -> np.ndarray:
        """Return an array of the device with the contents of numpy's."""
        array = np.asarray(array)
        found = self.empty(array.size, array.dtype).reshape(array.shape)
        found[...] = array
        return found

    def write(self, array: np.ndarray, values: np.ndarray) -> None:
        """Write numpy's numbers into an array of the device."""
        array[...] = values

    def capture(self, calls: Sequence[Callable[[], None]]) -> Callable[[], None]:
        """Return one call in the place of several."""

        def replay() -> None:
            for call in calls:
                call()

        return replay


def host_device(
    settings: Settings | None = None, *, arch: int = 90, processors: int = 132
) -> HostDevice:
    """Return a Device as that of an H200, whose kernels run as ``settings`` say.

    Where tests are to run on a GPU it is as that GPU.
    """
    if on_gpu.asked():
        return HostDevice(np, on_gpu.RawModule, **on_gpu.described())
    module = partial(RawModule, settings=settings or Settings())
    return HostDevice(np, module, arch=arch, processors=processors, most_shared=227 << 10)
