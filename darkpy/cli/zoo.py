"""darkpy zoo: official weights by name."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

SECONDS = 5.0  # between two lines of progress where there is no terminal


@click.group()
def zoo() -> None:
    """List official weights, or fetch them by name."""


@zoo.command("list")
def list_() -> None:
    """List the detectors whose weights can be fetched."""
    from .. import zoo

    click.echo(f"{'name':<20} {'MB':>5}  {'names':<10}  {'here':<4}  from")
    for model in zoo.MODELS.values():
        megabytes = zoo.size(model) / 1e6
        here = "yes" if (zoo.cache_dir() / f"{model.name}.weights").is_file() else "no"
        names = model.data.replace(".data", ".names")
        click.echo(f"{model.name:<20} {megabytes:>5.1f}  {names:<10}  {here:<4}  {model.url}")


@zoo.command()
@click.argument("name")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to keep the weights in; the default is the user's cache.",
)
def get(name: str, out: Path | None) -> None:
    """Fetch the weights NAME, or check those that are there, and print where they are.

    A download that was cut goes on where it ended. The length must be what the cfg needs, and the
    sha256 is recorded and checked from then on.
    """
    from .. import zoo

    with _Bar(name) as bar:
        weights = zoo.get(name, out, progress=bar)
    data, cfg = (zoo.cfg_path(file) for file in (zoo.find(name).data, f"{name}.cfg"))
    click.echo(f'now: darkpy detector test "{data}" "{cfg}" "{weights}" PICTURE', err=True)
    click.echo(str(weights))


class _Bar:
    """Progress on stderr: a bar on a terminal from the first byte on, else a line now and then."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bar: Any = None
        self.shown = time.monotonic()

    def __enter__(self) -> _Bar:
        return self

    def __call__(self, done: int, total: int | None) -> None:
        if sys.stderr.isatty():
            self._draw(done, total)
        elif time.monotonic() - self.shown >= SECONDS:
            self.shown = time.monotonic()
            whole = f" of {total / 1e6:.1f}" if total else ""
            click.echo(f"{self.name}: {done / 1e6:.1f}{whole} MB", err=True)

    def _draw(self, done: int, total: int | None) -> None:
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(desc=self.name, unit="B", unit_scale=True, leave=False)
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
