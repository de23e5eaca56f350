"""Local response normalisation over channels."""

import numpy as np

from .device import Device, Launch, Map, Scratch, ends, over

__all__ = ["lrn", "lrn_grad"]

WINDOW = [(name, np.int32) for name in ("before", "after", "channels")]
WINDOW += [(name, np.float32) for name in ("alpha", "beta", "kappa")]


def lrn(
    device: Device, y: Map, x: Map, *, size: int, alpha: float, beta: float, kappa: float
) -> list[Launch]:
    """y = x (kappa + alpha s) ^ -beta, s summing the squares of ``size`` channels around."""
    window = _window(x, size, alpha, beta, kappa)
    return [_over(f"lrn<{x.name}>", x, (*ends(x, y), window))]


def lrn_grad(
    device: Device, dx: Map, dy: Map, x: Map, *, size: int, alpha: float, beta: float, kappa: float
) -> list[Launch]:
    """dx = the gradient of what `lrn` was given."""
    window = _window(x, size, alpha, beta, kappa)
    parts = Scratch(x.pixels * x.pieces * x.piece)
    norms = Scratch(parts.count, offset=parts.end)
    given = ends(dy, x)
    return [
        _over(f"lrn_parts<{x.name}>", x, (*given, parts, norms, window)),
        _over(f"lrn_grad<{x.name}>", x, (*given, parts, norms, *ends(dx), window)),
    ]


def _over(kernel: str, x: Map, args: tuple) -> Launch:
    count = x.pixels * x.pieces
    return Launch("lrn.cu", kernel, *over(count), (*args, np.int32(x.pieces), np.int32(count)))


def _window(x: Map, size: int, alpha: float, beta: float, kappa: float) -> np.ndarray:
    return np.array(((size - 1) // 2, size // 2, x.c, alpha, beta, kappa), WINDOW)
