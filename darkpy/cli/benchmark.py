"""darkpy benchmark: how fast networks and their convolutions are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from ..errors import NetworkError
from . import Commands
from .options import Command, batch, json_file, precision, strict, threads, write_json
from .plan import compiled, heading, read
from .progress import progress

HEAD = ("convolution", "kernel", "ms", "GFLOP/s", "of peak", "error")
ROUNDS = click.IntRange(1, 1000)


class Benchmark(Commands):
    """Takes a .cfg as the word "network" before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        names = (*self.homes, *ctx.help_option_names)
        if args and args[0] not in names:
            args = ["network", *args]
        return super().parse_args(ctx, args)


benchmark = Benchmark(
    "benchmark",
    help="Time the network CFG as a whole, or, with the word kernels, its convolutions each way.",
    homes={
        "network": ("benchmark", "network", "Time networks as a whole (the word may be left out)."),
        "kernels": ("benchmark", "kernels", "Time every way of the convolutions of networks."),
    },
)


@click.command(cls=Command)
@click.argument("cfg")
@click.argument("weights", required=False)
@click.option("--runs", type=ROUNDS, default=30, show_default=True, help="After one to warm up.")
@threads
@batch
@precision
@strict
@json_file
def network(
    cfg: str,
    weights: str | None,
    runs: int,
    threads: int | None,
    batch: int,
    precision: str | None,
    strict: bool,
    json: str | None,
) -> None:
    """Time CFG as a whole: milliseconds, GFLOP/s, the share of the processor's peak, memory."""
    from ..plan.whole import machine, measure

    precision = precision or "fp32"
    net, made = compiled(cfg, weights, threads, batch, precision, strict)
    found, about = measure(made, runs), machine(made.threads)
    figures = {
        "cfg": cfg, "input": [batch, *net.image], "precision": precision, "strict": strict,
        "runs": runs, **about, **asdict(found), "gflops": found.speed,
        "share": found.speed / about["peak_gflops"],
    }  # fmt: skip
    if json:
        write_json(json, figures)
    if json != "-":
        shape = "x".join(map(str, figures["input"]))
        click.echo(
            f"{cfg}, input {shape}, {precision}: {found.milliseconds:.2f} ms "
            f"({found.low:.2f} to {found.high:.2f}, the middle half of {runs} runs), "
            f"{1e3 * batch / found.milliseconds:.1f} pictures a second"
        )
        click.echo(
            f"{found.gflop:.2f} GFLOP: {found.speed:.0f} GFLOP/s, {figures['share']:.0%} of the "
            f"peak; {found.maps / 1e6:.0f} MB of maps, {found.weights / 1e6:.0f} MB of weights"
        )
        click.echo(heading(about))


@click.command(cls=Command)
@click.argument("cfg", nargs=-1, required=True)
@click.option("--rounds", type=ROUNDS, default=9, show_default=True, help="To take medians of.")
@click.option("--errors", is_flag=True, help="Compare with float64 too, which takes long.")
@threads
@batch
@strict
@json_file
def kernels(
    cfg: tuple[str, ...],
    rounds: int,
    errors: bool,
    threads: int | None,
    batch: int,
    strict: bool,
    json: str | None,
) -> None:
    """Time every way in which the convolutions of networks can be computed.

    F2 to F6 are Winograd's, with outputs of so many cells a side, each in the form that should be
    fastest. They take turns, each layer by itself.
    """
    from ..plan.whole import machine, most
    from ..tables import aligned

    count = threads or most()
    about = machine(count)
    rows = list(_rows(cfg, rounds, errors, count, batch, strict, about["peak_gflops"]))
    if json:
        write_json(json, {"batch": batch, **about, "rows": rows})
    if json != "-":
        head = HEAD if errors else HEAD[:-1]
        click.echo(aligned([head, *map(_words, rows)], "<<>>>>"[: len(head)]))
        click.echo(heading(about))


def _rows(
    cfgs: tuple[str, ...],
    rounds: int,
    wants_errors: bool,
    threads: int,
    batch: int,
    strict: bool,
    peak: float,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each way of each convolution that no earlier network had."""
    from ..plan.ways import layers, of_each_kind, rows, separate

    known: set[Any] = set()
    todo = []
    for path in cfgs:
        net, params = read(path, None, strict)
        program = separate(net, params, batch, threads)
        new = [one for one in layers(program) if one.geometry not in known]
        known |= {one.geometry for one in new}
        todo += [(program, one) for one in new]
    if not todo:
        raise NetworkError(f"{', '.join(cfgs)}: no convolution to time")
    for program, layer in progress(todo, len(todo), "benchmark"):
        ways = of_each_kind(layer.geometry, threads, strict)
        for row in rows(program, layer, ways, threads, rounds, wants_errors):
            yield {**row, "share": row["gflops"] / peak}


def _words(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        *(row["layer"], row["way"], f"{row['ms']:.3f}"),
        *(f"{row['gflops']:.0f}", f"{row['share']:.0%}"),
        *([f"{row['error']:.0e}"] if "error" in row else []),
    )
