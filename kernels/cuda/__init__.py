"""CUDA kernels: name.cu computes, name.py launches.

Every function of every module here that its `__all__` names is an op: op(device, y, *arguments) of
the reference's arguments returns the launches that compute y, which is a tuple where an op gives
several. Maps are `device.Map`, all else arrays of the device as `kernels.reference` has them.
"""

import importlib
import pkgutil

__all__ = []
for _module in pkgutil.iter_modules(__path__):
    _file = importlib.import_module(f"{__name__}.{_module.name}")
    for _name in getattr(_file, "__all__", ()):
        globals()[_name] = getattr(_file, _name)
    __all__ += getattr(_file, "__all__", [])
