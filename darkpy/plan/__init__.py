"""Plans: what layers do, recorded once, improved by passes, and bound to memory and kernels."""

from .plan import Plan, compile, flops

__all__ = ["Plan", "compile", "flops"]
