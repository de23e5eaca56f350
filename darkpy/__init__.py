"""Darknet's YOLO in Python: the same .cfg and .weights, command lines and numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (
    CfgError,
    DarkpyError,
    DataError,
    DeviceError,
    DownloadError,
    ImageError,
    NetworkError,
    OutOfMemory,
    TrainingError,
    WeightsError,
)

if TYPE_CHECKING:
    from .cfg import read_cfg
    from .detect import Detector, load
    from .detections import Detections
    from .network import Network
    from .train.trainer import Trainer
    from .weights import read_weights, write_weights

__version__ = "0.1.0.dev0"

__all__ = [
    "CfgError",
    "DarkpyError",
    "DataError",
    "Detections",
    "Detector",
    "DeviceError",
    "DownloadError",
    "ImageError",
    "Network",
    "NetworkError",
    "OutOfMemory",
    "Trainer",
    "TrainingError",
    "WeightsError",
    "__version__",
    "load",
    "read_cfg",
    "read_weights",
    "write_weights",
]

_HOME = {  # imported when first asked for, so that importing darkpy costs next to nothing
    "Detections": "detections",
    "Detector": "detect",
    "Network": "network",
    "Trainer": "train.trainer",
    "load": "detect",
    "read_cfg": "cfg",
    "read_weights": "weights",
    "write_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'darkpy' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
