"""Run CUDA kernels on the CPU, more strictly than a GPU does; README.md tells how and what for."""

from .build import BuildError, missing
from .module import ORDERS, Kernel, KernelError, RawModule, Settings

__all__ = ["ORDERS", "BuildError", "Kernel", "KernelError", "RawModule", "Settings", "missing"]
