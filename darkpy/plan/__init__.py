"""Plans: what layers do, recorded once, improved by passes, and bound to memory and kernels."""

from .bf16 import ON_GPU, PRECISIONS, default_precision, require
from .plan import Plan, Progress, compile, flops

__all__ = [
    "ON_GPU",
    "PRECISIONS",
    "Plan",
    "Progress",
    "compile",
    "default_precision",
    "flops",
    "require",
]
