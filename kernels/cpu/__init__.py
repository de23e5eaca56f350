"""The kernels of the processor: Numba where it helps, under the names of the reference ops.

An op's file is imported when the op is first asked for, and Numba with it.
"""

import sys
from importlib import import_module
from types import ModuleType

FILES = {
    "activate": ("activate", "activate_grad"),
    "batchnorm": ("batch_statistics", "batchnorm", "batchnorm_grad"),
    "best_overlap": ("best_overlap",),
    "combine": ("add", "bias", "concat", "multiply"),
    "conv2d": ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"),
    "nms": ("nms",),
    "optimizer": ("adam_step", "ema_step", "sgd_step"),
    "pool": ("maxpool", "maxpool_grad"),
    "resize_picture": ("resize_picture",),
    "upsample": ("upsample", "upsample_grad"),
    "yolo": ("yolo",),
    "yolo_loss": ("gaussian_yolo_loss", "yolo_loss"),
}
FILE_OF = {op: file for file, ops in FILES.items() for op in ops}

__all__ = sorted(FILE_OF)


class Ops(ModuleType):
    """This package: its attributes are ops, also where an op has the name of its file."""

    def __getattr__(self, name):
        if name not in FILE_OF:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        op = getattr(import_module(f".{FILE_OF[name]}", self.__name__), name)
        setattr(self, name, op)
        return op

    def __setattr__(self, name, value):
        if not (name in FILE_OF and isinstance(value, ModuleType)):  # which importing a file sets
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = Ops
