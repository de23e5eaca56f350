"""Plans: what layers do, recorded once, improved by passes, and bound to memory and kernels."""

from .bf16 import PRECISIONS, require
from .plan import Plan, compile, flops

__all__ = ["PRECISIONS", "Plan", "compile", "flops", "require"]
