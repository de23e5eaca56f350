"""Plans that run on a GPU: maps with channels side by side, kernels of kernels/cuda, one graph."""

from .plan import CudaPlan, compile

__all__ = ["CudaPlan", "compile"]
