"""Plans: what layers do, recorded once, improved by passes, and bound to memory and kernels."""

from .bf16 import PRECISIONS, require
from .plan import Plan, Progress, compile, flops

__all__ = ["PRECISIONS", "Plan", "Progress", "compile", "flops", "require"]
