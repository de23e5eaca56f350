"""darkpy detector overfit: can the network learn a few pictures at all?"""

from __future__ import annotations

import click

from .options import Command, dont_show
from .progress import progress


@click.command(cls=Command)
@click.argument("data")
@click.argument("cfg")
@click.argument("weights", required=False)
@click.option("-n", "count", type=click.IntRange(1, 1000), default=5, help="Pictures to learn.")
@click.option("--iterations", type=click.IntRange(10), default=500, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Override CFG.")
@dont_show
def overfit(
    data: str,
    cfg: str,
    weights: str | None,
    count: int,
    iterations: int,
    seed: int,
    settings: tuple[str, ...],
    dont_show: bool,
) -> int:
    """Train on the first -n labelled pictures, without augmentation, until they are learned.

    If even that fails, something is wrong with labels, anchors, rate or network, and a long
    training will not mend it. Nothing is written. Exit status: 0 if they were learned, 1 if not.
    """
    from ..evaluate.report import table
    from ..train.overfit import overfit as learn

    found = learn(
        data,
        cfg,
        weights,
        count=count,
        iterations=iterations,
        seed=seed,
        settings=settings,
        watch=progress,
    )
    for line in table(found.report, found.names):
        click.echo(line)
    for sentence in found.sentences():
        click.echo(sentence)
    return 0 if found.learned else 1
