"""Show on stderr how far a long job is: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

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
