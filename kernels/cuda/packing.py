"""Weights as products of matrices read them: [filter][tap][channel], channels in whole pieces."""

from typing import Any

import numpy as np

from .device import TYPES, piece

PRECISIONS = {"fp32": "float", "tf32": "float", "fp16": "half", "bf16": "bf16"}  # type of the maps
DEFAULT = {"float": "fp32", "half": "fp16", "bf16": "bf16"}  # of products, unless asked otherwise
POLICIES = {"fp32": "Fp32", "tf32": "Tf32", "fp16": "Fp16", "bf16": "Bf16"}  # operand.cuh


def padded(count: int, type_: str) -> int:
    """Return the numbers of a type that ``count`` channels take in whole pieces."""
    return -(-count // piece(type_)) * piece(type_)


def stored(values: Any, type_: str) -> np.ndarray:
    """Return numbers as a map of a type has them; for bf16 their upper bits, rounded."""
    if type_ != "bf16":
        return np.asarray(values).astype(TYPES[type_])
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FFF), rounded)


def pack(w: Any, type_: str, groups: int = 1, turned: bool = False) -> np.ndarray:
    """Return weights w (f, c / groups, k, k) of numpy as a flat array to be uploaded.

    turned  for the gradient of the input: [channel][tap][filter] of each group
    """
    f, c, high, wide = w.shape
    own = w.reshape(groups, f // groups, c, high * wide)
    own = own.transpose(0, 2, 3, 1) if turned else own.transpose(0, 1, 3, 2)
    full = np.zeros((*own.shape[:3], padded(own.shape[3], type_)), np.float32)
    full[..., : own.shape[3]] = own
    return stored(full, type_).reshape(-1)


def packed_count(shape: tuple[int, ...], type_: str, groups: int = 1, turned: bool = False) -> int:
    """Return the numbers that weights of a shape (f, c / groups, k, k) take when packed."""
    f, c, k, _ = shape
    return k * k * (groups * c * padded(f // groups, type_) if turned else f * padded(c, type_))
