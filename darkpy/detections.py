"""The Detections record: what was found in a picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DarkpyError


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in a picture; the fields are named as in the library supervision.

    xyxy        (n, 4) float32 left, top, right, bottom in pixels of the picture given; a box may
                reach beyond the picture
    confidence  (n,) float32, 0..1; a Detector sorts it falling
    class_id    (n,) int32
    names       of the classes; a class without one is named by its number

    ``len(found)`` counts, ``for box, confidence, name in found`` walks, and indexing with a mask
    (``found[found.class_id == 0]``), a slice, indices or an index gives Detections again.
    Raises DarkpyError where a field does not have the shape above.
    """

    xyxy: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int32]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.class_id) if np.ndim(self.class_id) else 0
        self._convert("xyxy", np.float32, (n, 4))
        self._convert("confidence", np.float32, (n,))
        self._convert("class_id", np.int32, (n,))
        if not all(isinstance(name, str) for name in self.names):
            raise DarkpyError(f"Detections.names: expected words, got {self.names!r:.80}")
        object.__setattr__(self, "names", tuple(self.names))

    def _convert(self, field: str, dtype: type, shape: tuple[int, ...]) -> None:
        value = getattr(self, field)
        try:
            array: NDArray[Any] = np.asarray(value, dtype)
        except (TypeError, ValueError, OverflowError):
            kind = np.dtype(dtype).name
            raise DarkpyError(f"Detections.{field}: expected {kind}, got {value!r:.80}") from None
        if array.shape != shape:
            raise DarkpyError(f"Detections.{field}: expected shape {shape}, got {array.shape}")
        object.__setattr__(self, field, array)

    @classmethod
    def empty(cls, names: tuple[str, ...] = ()) -> Detections:
        """Return the Detections of a picture in which nothing was found."""
        none = np.zeros(0, np.float32)
        return cls(none.reshape(0, 4), none, none.astype(np.int32), names)

    def __len__(self) -> int:
        return len(self.class_id)

    def __iter__(self) -> Iterator[tuple[NDArray[np.float32], float, str]]:
        """Yield (box (4,) float32, confidence, name) of each."""
        for box, confidence, k in zip(self.xyxy, self.confidence, self.class_id, strict=True):
            yield box, float(confidence), self.names[k] if 0 <= k < len(self.names) else str(k)

    def __getitem__(self, index: Any) -> Detections:
        """Return the Detections that a mask, a slice, indices or an index choose."""
        if isinstance(index, (int, np.integer)):
            index = [range(len(self))[index]]
        elif not isinstance(index, slice):
            index = np.asarray(index)
            index = index if index.size else index.astype(np.intp)
        return Detections(
            self.xyxy[index], self.confidence[index], self.class_id[index], self.names
        )
