"""The kernels of the processor: Numba where it helps, under the names of the reference ops."""

from .activate import activate
from .batchnorm import batchnorm
from .conv2d import conv2d
from .nms import nms
from .pool import maxpool

__all__ = ["activate", "batchnorm", "conv2d", "maxpool", "nms"]
