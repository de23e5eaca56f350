"""One file per section of a .cfg; a file dropped into this folder is registered."""

import importlib
import pkgutil

from .base import LAYERS, Layer, Shape, absolute, section

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["LAYERS", "Layer", "Shape", "absolute", "section"]
