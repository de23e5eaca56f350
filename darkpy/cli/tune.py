"""darkpy tune: measure which algorithm is fastest for each convolution, and remember it."""

from __future__ import annotations

from dataclasses import asdict
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from .options import (
    Command,
    batch,
    gpu_index,
    json_file,
    precision,
    strict,
    threads,
    write_json,
)
from .plan import read
from .progress import Bar

if TYPE_CHECKING:
    from ..plan.tune import Result, Tuned


@click.command(cls=Command)
@click.argument("cfg")
@click.argument("weights", required=False)
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=9,
    show_default=True,
    help="How often each algorithm runs; its median counts.",
)
@click.option("--forget", is_flag=True, help="Go back to what is estimated, without measuring.")
@click.option(
    "--training",
    is_flag=True,
    help="Measure a mini-batch of training on a GPU, forward and back; --batch is then as [net] "
    "says, and --precision tf32, unless they are given.",
)
@gpu_index
@precision
@threads
@batch
@strict
@json_file
def tune(
    cfg: str,
    weights: str | None,
    rounds: int,
    forget: bool,
    training: bool,
    i: str,
    precision: str | None,
    threads: int | None,
    batch: int,
    strict: bool,
    json: str | None,
) -> None:
    """Measure the algorithms of each convolution of CFG, and take the fastest from now on.

    What is found is kept in the user's cache folder, for this processor, these shapes, as many
    threads, and with or without --strict; on a GPU, where it is tiles and splits of sums, for its
    kind, these shapes and the precision. Every network that has such a layer takes it. It is kept
    only if the network as a whole becomes faster. Nothing is measured later: until the next
    `darkpy tune`, the same picture gives the same bytes.
    """
    network, params = read(cfg, weights, strict)
    if training:
        tuner, settings = _trainings(i, precision, batch)
    else:
        tuner, settings = _tuner(i, precision, threads, batch, strict)
    if forget:
        count = tuner.forget(network, params, **settings)
        click.echo(f"{cfg}: the choices for {count} shapes of convolutions are forgotten")
        return
    shown = Bar("measuring layers")
    found: Result = tuner.tune(network, params, **settings, rounds=rounds, progress=shown)
    if json:
        write_json(json, {"cfg": cfg, **settings, **_figures(found)})
    if json != "-":
        click.echo(_table(found))
        click.echo(_verdict(found))


def _tuner(
    device: str, precision: str | None, threads: int | None, batch: int, strict: bool
) -> tuple[ModuleType, dict[str, Any]]:
    """Return the module that tunes for a device, and what it is told."""
    from ..errors import DeviceError
    from ..plan import default_precision, require

    device = _found(device)
    precision = precision or default_precision(device, strict)
    require(precision, strict, device)
    if device != "cpu":
        from ..plan.cuda import tune as on_gpu

        return on_gpu, {"device": device, "batch": batch, "precision": precision}
    if precision != "fp32":
        raise DeviceError(f"precision {precision!r}: nothing to tune on a processor but 'fp32'")
    from ..plan import tune as on_processor

    return on_processor, {"batch": batch, "threads": threads, "strict": strict}


def _trainings(device: str, precision: str | None, batch: int) -> tuple[ModuleType, dict[str, Any]]:
    """Return the module that tunes training, and what it is told."""
    from ..errors import DeviceError
    from ..plan import require

    device = _found(device)
    if device == "cpu":
        raise DeviceError("--training: nothing to tune on a processor; expected a GPU")
    from ..train import tune as of_training
    from ..train.trainer import ON_GPU

    precision = precision or ON_GPU
    require(precision, device=device)
    source = click.get_current_context().get_parameter_source("batch")
    own = None if source is ParameterSource.DEFAULT else batch
    return of_training, {"device": device, "batch": own, "precision": precision}


def _found(device: str) -> str:
    """Return a device, where the command line names none the one there is."""
    from .. import cuda

    return ("cuda:0" if cuda.usable() else "cpu") if device == "auto" else device


def _table(found: Result) -> str:
    from ..tables import aligned

    head = ("convolution", "times", "estimated", "ms", "fastest", "ms", "gain")
    return aligned([head, *map(_words, found.layers)], "<><><>>")


def _words(one: Tuned) -> tuple[str, ...]:
    same = one.after == one.before
    return (
        *(one.layer, str(one.count), str(one.before), f"{one.old:.3f}"),
        *(("the same", "", "") if same else (str(one.after), f"{one.new:.3f}", gain(one))),
    )


def gain(one: Tuned | Result) -> str:
    """Return by how much the time is less."""
    return f"{1 - one.new / one.old:.0%}"


def _verdict(found: Result) -> str:
    if all(one.before == one.after for one in found.layers):
        return "the estimates are the fastest: nothing changes"
    times = f"the whole network takes {found.new:.2f} ms instead of {found.old:.2f}"
    if not found.kept:
        return f"{times}: nothing is gained, and the estimates stay"
    return f"{times}, {gain(found)} less; from now on this is what is taken"


def _figures(found: Result) -> dict[str, Any]:
    layers = [
        {
            **asdict(one),
            "before": str(one.before),
            "after": str(one.after),
            "gain": 1 - one.new / one.old,
        }
        for one in found.layers
    ]
    return {"layers": layers, "old": found.old, "new": found.new, "kept": found.kept}
