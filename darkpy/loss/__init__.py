"""Losses: a file for each section that has one, found by its presence, as the layers are."""

import importlib
import pkgutil

from .base import LOSSES, HeadLoss, Moment, Truths
from .rejection import Rejection

__all__ = ["LOSSES", "HeadLoss", "Moment", "Rejection", "Truths"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
