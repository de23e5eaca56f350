"""Show on stderr how far a long job is: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

WHAT = "making kernels for this machine, once"
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


def building() -> Callable[[int, int], None] | None:
    """Return what shows a bar while kernels are built, or None where stderr is no terminal.

    It is called with (how many are done, of how many), and the bar goes when all are.
    """
    if not sys.stderr.isatty():
        return None
    bar: Any = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            from tqdm import tqdm

            bar = tqdm(desc=WHAT, total=total, leave=False, file=sys.stderr)
        bar.update(done - bar.n)
        if done == total:
            bar.close()
            bar = None

    return show
