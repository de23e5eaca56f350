"""The definition of every op and of its gradient, in array code for numpy and CuPy.

These are the truth that the kernels of each device are tested against, and what runs where a
device has no kernel of its own. Arrays are given by position, numbers by keyword; a map is
(n, c, h, w). Every function of every module here that its `__all__` names is an op.
"""

import importlib
import pkgutil

__all__ = []
for _module in pkgutil.iter_modules(__path__):
    _file = importlib.import_module(f"{__name__}.{_module.name}")
    for _name in _file.__all__:
        globals()[_name] = getattr(_file, _name)
    __all__ += _file.__all__
