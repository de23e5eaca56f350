"""darkpy doctor: what this machine has of all that darkpy needs."""

from __future__ import annotations

from dataclasses import asdict

import click

from .options import Command, write_json
from .progress import building


@click.command(cls=Command)
@click.option(
    "--json",
    is_flag=False,
    flag_value="-",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Print it as JSON; with a name, write it to this file.",
)
def doctor(json: str | None) -> int:
    """Look for all that darkpy uses on this machine, and say what mends what is missing.

    A convolution is computed, so at the first time some kernels are built. Exit status: 0 if darkpy
    works here on the processor, without a GPU too, or 1 if something it needs is broken.
    """
    import darkpy

    from ..doctor import healthy, report
    from ..tables import aligned

    found = report(darkpy.__version__, building())
    works = healthy(found)
    if json:
        write_json(json, {"works": works, "findings": [asdict(one) for one in found]})
    if json != "-":
        click.echo(aligned([(one.what, one.value) for one in found], "<<"))
        click.echo("")
        for one in found:
            if one.missing:
                click.echo(f"{one.what}: {one.missing}")
        click.echo("darkpy works here, on the processor" if works else "darkpy does not work here")
    return 0 if works else 1
