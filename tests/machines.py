"""Machines with and without CUDA, as `darkpy.cuda` meets them: a driver, CuPy's wheels, CuPy."""

import ctypes
from importlib import metadata
from types import ModuleType, SimpleNamespace

from darkpy import cuda

H200 = ("NVIDIA H200", (9, 0), 139 << 30)
RTX5090 = ("NVIDIA GeForce RTX 5090", (12, 0), 32 << 30)
V100 = ("Tesla V100", (7, 0), 16 << 30)
GTX1080 = ("GeForce GTX 1080", (6, 1), 8 << 30)


class Library:
    """A driver's library: its functions write where they are told, and return a status."""

    def __init__(self, version, cards, init=0):
        self.version, self.cards, self.init = version, cards, init

    def cuDriverGetVersion(self, to):
        to._obj.value = 1000 * self.version[0] + 10 * self.version[1]
        return 0

    def cuInit(self, flags):
        return self.init

    def cuDeviceGetCount(self, to):
        to._obj.value = len(self.cards)
        return 0

    def cuDeviceGet(self, to, index):
        to._obj.value = 100 + index
        return 0

    def cuDeviceGetName(self, to, size, device):
        to.value = self._card(device)[0].encode()[: size - 1]
        return 0

    def cuDeviceGetAttribute(self, to, which, device):
        to._obj.value = self._card(device)[1][{75: 0, 76: 1}[which]]
        return 0

    def cuDeviceTotalMem_v2(self, to, device):
        to._obj.value = self._card(device)[2]
        return 0

    def cuGetErrorName(self, status, to):
        to._obj.value = {999: b"CUDA_ERROR_UNKNOWN"}.get(status)
        return 0 if to._obj.value else 1

    def _card(self, device):
        return self.cards[device.value - 100]


class Nvrtc:
    """CuPy's binding of NVRTC."""

    def __init__(self, version, oldest):
        self.version, self.oldest = version, oldest
        self.asked, self.open = [], 0

    def getVersion(self):
        if self.version is None:
            raise RuntimeError("Failure finding libnvrtc.so.13")
        return self.version

    def createProgram(self, source, name, headers, names):
        assert "__global__" in source
        self.open += 1
        return object()

    def compileProgram(self, program, options):
        self.asked += options
        if int(options[0].removeprefix("-arch=sm_")) < self.oldest:
            raise RuntimeError("NVRTC_ERROR_INVALID_OPTION (5)")

    def destroyProgram(self, program):
        self.open -= 1


def pretend(
    monkeypatch,
    version=None,
    cards=(),
    init=0,
    wheels=None,
    available=None,
    nvrtc=(13, 0),
    oldest=75,
    headers="/usr/include",
    platform="linux",
):
    """Make `darkpy.cuda` see such a machine; return its binding of NVRTC.

    version    of CUDA that the driver serves; None: there is no driver
    init       what cuInit returns
    wheels     name -> version
    available  what CuPy says; an exception is what importing it raises
    nvrtc      NVRTC's version, None if it does not load
    headers    where CUDA's are, None if there are none
    """
    wheels = {"darkpy-yolo": "0", **(wheels or {})}

    def load(name):
        if version is None:
            raise OSError(f"{name}: cannot open shared object file")
        return Library(version, cards, init)

    def find(name):
        if name not in wheels:
            raise metadata.PackageNotFoundError(name)
        return wheels[name]

    binding = Nvrtc(nvrtc, oldest)

    def module(name):
        if isinstance(available, Exception):
            raise available
        inside = SimpleNamespace(is_available=lambda: available, nvrtc=binding)
        finder = SimpleNamespace(find_nvidia_header_directory={"cudart": headers}.get)
        modules = {"cupy": SimpleNamespace(cuda=inside), "cupy.cuda": inside}
        return (modules | {"cuda.pathfinder": finder})[name]

    monkeypatch.setattr(cuda, "ctypes", _with_loader(load))
    monkeypatch.setattr(
        cuda,
        "metadata",
        SimpleNamespace(version=find, PackageNotFoundError=metadata.PackageNotFoundError),
    )
    monkeypatch.setattr(cuda, "import_module", module)
    monkeypatch.setattr(cuda, "sys", SimpleNamespace(platform=platform))
    return binding


def _with_loader(load):
    """Return a copy of ctypes whose CDLL is ``load``."""
    copy = ModuleType("ctypes")
    vars(copy).update(vars(ctypes))
    copy.CDLL = load
    return copy
