"""Show on stderr how far a long job is: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import click

Item = TypeVar("Item")
SECONDS = 5.0  # between two lines


def progress(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield the items, and show how many of ``total`` have been worked on."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, desc=what, total=total, leave=False, file=sys.stderr)
        return
    start = shown = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - shown >= SECONDS:
            shown = now
            left = (now - start) / done * (total - done)
            click.echo(f"{what}: {done} of {total}, {left:.0f} s left", err=True)


class Bar:
    """A bar on a terminal, and nothing elsewhere, for work that says how far it is.

    It is called with (how many are done, of how many), begins anew when all are, and is gone then.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self.bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self.bar is None:
            if done == total or not sys.stderr.isatty():
                return
            from tqdm import tqdm

            self.bar = tqdm(desc=self.what, total=total, leave=False, file=sys.stderr)
        self.bar.update(done - self.bar.n)
        if done == total:
            self.bar.close()
            self.bar = None


def building() -> Bar:
    """Return what shows how kernels are built for this machine, which is done once."""
    return Bar("making kernels for this machine, once")
