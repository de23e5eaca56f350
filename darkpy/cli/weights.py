"""darkpy partial: cut a .weights file."""

from __future__ import annotations

import click

from ..network import Network
from ..weights import Version, read_weights, write_weights
from .options import Command


@click.command(cls=Command)
@click.argument("cfg")
@click.argument("weights")
@click.argument("out")
@click.argument("n", type=click.IntRange(min=1))
def partial(cfg: str, weights: str, out: str, n: int) -> None:
    """Write the first N layers of WEIGHTS to OUT, as a backbone to train from (yolov4.conv.137)."""
    network = Network.from_cfg(cfg)
    if n > len(network.nodes):
        raise click.BadParameter(f"{n}: {cfg} has {len(network.nodes)} layers", param_hint="N")
    params = read_weights(network, weights, upto=n)
    if params.loaded < n:
        raise click.BadParameter(f"{n}: {weights} holds {params.loaded} layers", param_hint="N")
    write_weights(network, params, out, upto=n, version=Version())
    click.echo(f"Saving weights to {out}")
