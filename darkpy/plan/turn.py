"""A lock for turns that outlives a fork."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType


class Turn:
    """A lock that one thread may take again and again; in a child of a fork nobody has it."""

    def __init__(self) -> None:
        self.renew()
        _known.add(self)

    def renew(self) -> None:
        """Begin anew: a thread that had it is not there."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


_known: weakref.WeakSet[Turn] = weakref.WeakSet()


def _renew() -> None:
    for one in list(_known):
        one.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
