"""darkpy plan: what a network is on this machine, step by step."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from .options import Command, batch, json_file, precision, strict, threads, write_json
from .progress import building

if TYPE_CHECKING:
    from ..network import Network
    from ..plan import Plan


@click.command(cls=Command)
@click.argument("cfg")
@click.argument("weights", required=False)
@click.option("--time/--no-time", default=True, help="Whether to run it, and time each step.")
@click.option(
    "--runs", type=click.IntRange(1, 100), default=9, show_default=True, help="To take medians of."
)
@threads
@batch
@precision
@strict
@json_file
def plan(
    cfg: str,
    weights: str | None,
    time: bool,
    runs: int,
    threads: int | None,
    batch: int,
    precision: str | None,
    strict: bool,
    json: str | None,
) -> None:
    """Show how CFG is run here: each op with its algorithm, layout, size and time.

    A layer is often no op of its own: batch norm, activation, sum and pool are done by the
    convolution before them, and a route only says where to write. A step's time is that of all
    threads together; of a convolution, the share of the processor's multiply-adds is shown, as if
    it were computed directly: Winograd's way may reach more than 100 %. Without WEIGHTS they are
    drawn, which takes as long.
    """
    from ..plan.show import lines, table, total
    from ..plan.whole import machine

    _, made = compiled(cfg, weights, threads, batch, precision, strict)
    about = machine(made.threads) if time else {"threads": made.threads}
    found = lines(made, runs if time else 0)
    peak = about.get("peak_gflops", 0.0)
    if json:
        steps = [{**asdict(one), "share": one.share(peak)} for one in found]
        every = {**asdict(total(found)), "share": total(found).share(peak)}
        write_json(json, {"cfg": cfg, "batch": batch, **about, "steps": steps, "total": every})
    if json != "-":
        click.echo(table(found, peak))
        click.echo(heading(about))


def compiled(
    cfg: str,
    weights: str | None,
    threads: int | None,
    batch: int,
    precision: str | None,
    strict: bool,
) -> tuple[Network, Plan]:
    """Return a network and its plan; a bar shows how kernels are built."""
    from ..plan import compile, require

    precision = precision or "fp32"
    require(precision, strict)
    network, params = read(cfg, weights, strict)
    return network, compile(
        network, params, batch=batch, threads=threads, strict=strict,
        precision=precision, progress=building(),
    )  # fmt: skip


def read(cfg: str, weights: str | None, strict: bool) -> tuple[Network, Any]:
    """Return a network and its parameters, which are drawn if there are no weights."""
    import numpy as np

    from ..network import Network
    from ..weights import read_weights

    network = Network.from_cfg(cfg, strict=strict)
    if weights is None:
        return network, network.initial_params(np.random.default_rng(0))
    return network, read_weights(network, weights, whole=True)


def heading(about: dict[str, Any]) -> str:
    """Return a line about the machine."""
    if "processor" not in about:
        return f"threads: {about['threads']}"
    return (
        f"{about['processor']}; {about['threads']} threads reach "
        f"{about['peak_gflops']:.0f} GFLOP/s of multiply-adds"
    )
