"""Darknet's flags as click options: `-iou_thresh`, and for those used to it `--iou-thresh` too."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from ..errors import nearest

WORD = re.compile(r"-[A-Za-z][A-Za-z_-]+")  # -thresh, but neither -i nor -.5


class Command(click.Command):
    """A command whose flags are words behind one dash, and that names the nearest to a wrong one.

    click alone would read -tresh as -t -r -e -s -h.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = {
            spelling: option
            for option in self.get_params(ctx)
            if isinstance(option, click.Option)
            for spelling in option.opts
        }
        words = iter(args)
        for word in words:
            if word == "--":
                break
            name, equals, _ = word.partition("=")
            if name in options:
                if not equals and not options[name].is_flag and not options[name].count:
                    next(words, None)  # its value, which may begin with a dash
            elif WORD.fullmatch(name):
                single = [one for one in options if one.startswith("-") and one[1:2] != "-"]
                raise click.UsageError(f"No such option: {name}{nearest(name, single)}", ctx)
        return super().parse_args(ctx, args)


class Share(click.FloatRange):
    """A number from 0 to 1, which "nan" is not."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if number != number:
            self.fail(f"{value} is not in the range 0<=x<=1.", param, ctx)
        return number


def flag(name: str, *more: str, **settings: Any) -> Callable[[Any], Any]:
    """Declare darknet's flag ``-some_name``, which may have two dashes and dashes within."""
    word = name.lstrip("-")
    spellings = [name, *more]
    if len(word) > 1:
        dashed = word.replace("_", "-")
        spellings += [f"-{dashed}", f"--{word}", f"--{dashed}"]
    settings.setdefault("show_default", not settings.get("is_flag"))
    return click.option(*dict.fromkeys(spellings), word.lower(), **settings)


def _device(ctx: click.Context, option: click.Parameter, value: int | None) -> str:
    """Return the device that a number stands for.

    Darknet's command lines run without a GPU too: the processor does what was asked of one.
    """
    if value is None or value < 0:
        return "auto" if value is None else "cpu"
    from ..cuda import refusal

    device = f"cuda:{value}"
    if missing := refusal(device):
        click.echo(f"warning: -i {value}: {missing}", err=True)
        return "cpu"
    return device


gpu_index = flag(
    "-i",
    type=int,
    default=None,
    callback=_device,
    help="GPU to use, or -1 for the processor; default: the first GPU, if one computes here.",
)
dont_show = flag("-dont_show", is_flag=True, help="Open no window.")
precision = click.option(
    "--precision",
    type=click.Choice(("fp32", "tf32", "fp16", "bf16")),
    help="Of maps and weights; default: fp16 on a GPU, fp32 on the processor. There bf16 takes "
    "one with AVX512-BF16, and tf32 and fp16 are not.",
)
strict = click.option(
    "--strict",
    is_flag=True,
    help="Make errors of warnings, as of a key that is not known; and compute by no algorithm "
    "that is less exact than direct sums in float32.",
)
threads = click.option(
    "--threads", type=click.IntRange(1, 256), help="That share the work; default: a core each."
)
batch = click.option(
    "--batch", type=click.IntRange(1, 256), default=1, show_default=True, help="Pictures at once."
)
json_file = click.option(
    "--json",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write the figures to this file; - prints them instead of the table.",
)


def write_json(path: str, figures: dict[str, Any]) -> None:
    """Write figures as JSON into a file, whole or not at all, or to standard output for "-"."""
    import json

    from ..files import write_text

    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    if path == "-":
        click.echo(text, nl=False)
    else:
        write_text(path, text)
