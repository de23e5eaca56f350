"""Biases of channels, and their gradient."""

from typing import Any

from .columns import columns
from .device import Device, Launch, Map, ends

__all__ = ["bias", "bias_grad"]


def bias(device: Device, y: Map, x: Map, b: Any) -> list[Launch]:
    """y = x + b (c,); y may be x."""
    grid = columns(device, x.pixels, x.pieces, x.c)
    args = (*ends(x), b, *ends(y), grid.sizes)
    return [Launch("bias.cu", f"bias<{x.name}>", grid.grid, grid.block, args)]


def bias_grad(device: Device, db: Any, dy: Map) -> list[Launch]:
    """db (c,) = the sum of dy over all pixels."""
    grid = columns(device, dy.pixels, dy.pieces, dy.c, sums=True)
    args = (*ends(dy), db, *grid.partials(dy.piece), grid.sizes)
    return [Launch("bias.cu", f"bias_grad<{dy.name}>", grid.grid, grid.block, args)]
