"""The weights of a step of training as its convolutions read them, packed by one launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...kernels.cuda.device import TYPES, Device, Launch
from ...kernels.cuda.pack import Weights, pack_many
from ...kernels.cuda.packing import packed_count
from ..trace import Program

PACKED = ("convolve", "input_grad")  # ops whose ``w`` may be packed: of the second it is turned


class Packs:
    """Room for the weights that a program may have packed, and what is packed there.

    take  returns so many bytes of the device, or more
    """

    def __init__(
        self, device: Device, program: Program, type_: str, take: Callable[[int], Any]
    ) -> None:
        self.device = device
        self.type = type_
        counts = [
            packed_count(op.numbers["w"].shape, type_, op.numbers["groups"], kind == PACKED[1])
            for kind in PACKED
            for op in program.ops
            if op.kind == kind
        ]
        size = sum(counts) * np.dtype(TYPES[type_]).itemsize
        self._room = take(size)[:size].view(TYPES[type_])
        self._known: dict[tuple[int, bool], tuple[Weights, Any]] = {}
        self._end = 0

    def of(self, start: int, shape: tuple[int, ...], groups: int, turned: bool) -> Any:
        """Return where weights lie packed.

        start  of the weights in the flat array of parameters
        """
        key = (start, turned)
        if key not in self._known:
            count = packed_count(shape, self.type, groups, turned)
            place = self._room[self._end : self._end + count]
            self._known[key] = Weights(start, shape, groups, turned, self._end), place
            self._end += count
        return self._known[key][1]

    def launches(self, params: Any) -> list[Launch]:
        """Return what packs them all, of a flat array of parameters."""
        weights = [one for one, _ in self._known.values()]
        found: list[Launch] = pack_many(self.device, self._room, params, weights, type_=self.type)
        return found
