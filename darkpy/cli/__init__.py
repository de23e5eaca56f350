"""The command line: parse, call, print. Darknet's words, flags and output."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import nullcontext, suppress
from importlib import import_module
from typing import Any, TextIO

import click

import darkpy

from ..cfg import reason
from ..errors import DarkpyError

LATER = (
    "demo",
    "draw",
    "detect",
    "classifier",
    "classify",
    "yolo",
    "coco",
    "rnn",
    "average",
)


class Commands(click.Group):
    """A group whose commands live in modules that are imported when they are asked for.

    ``homes`` says where: command name -> ("module", "attribute", "short help").
    """

    def __init__(self, *args: Any, homes: dict[str, tuple[str, str, str]], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.homes = homes

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Keep the words of the whole command, which a training records, as ``obj``."""
        if parent is None:
            extra.setdefault("obj", tuple(args))
        return super().make_context(info_name, args, parent, **extra)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.homes)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.homes:
            return None
        module, attribute, _ = self.homes[name]
        command: click.Command = getattr(
            import_module(f".{module}" if module else __package__, __package__), attribute
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, home[2]) for name, home in self.homes.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from ..errors import nearest

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args and args[0] in LATER:
                raise click.UsageError(f"{args[0]!r} is not in this version yet", ctx) from None
            hint = nearest(args[0], self.homes) if args else ""
            raise click.UsageError(f"{error.message.rstrip('.')}{hint}", ctx) from None


EXAMPLE = "darkpy detector test coco.data yolov4.cfg yolov4.weights dog.jpg"
SETTINGS = {"help_option_names": ["-h", "-help", "--help"], "max_content_width": 100}

detector = Commands(
    "detector",
    help="Train, detect, and measure detection: DATA CFG WEIGHTS as in darknet.",
    context_settings=SETTINGS,
    homes={
        "train": ("train", "train", "Train on the train set of DATA."),
        "overfit": ("overfit", "overfit", "See whether a network can learn a few pictures."),
        "test": ("detect", "test", "Detect objects in pictures."),
        "map": ("measure", "map_", "Mean average precision on the valid set of DATA."),
        "valid": ("measure", "valid", "Write detections for COCO's, VOC's or ImageNet's judge."),
        "recall": ("measure", "recall", "Recall and mean IoU on the valid set."),
        "calc_anchors": ("measure", "calc_anchors", "Find anchors for the boxes of the train set."),
    },
)


@click.group(
    cls=Commands,
    help=f"{darkpy.__doc__}\n\nExample: {EXAMPLE}",
    context_settings=SETTINGS,
    homes={
        "detector": ("", "detector", "Train, detect, and measure detection."),
        "plan": ("plan", "plan", "Show how a network is run here, step by step."),
        "tune": ("tune", "tune", "Find the fastest algorithms for a network's layers."),
        "benchmark": ("benchmark", "benchmark", "Time networks, or their convolutions each way."),
        "quickstart": ("quickstart", "quickstart", "Train on drawn shapes: all of it in a minute."),
        "rerun": ("train", "rerun", "Repeat a training from its record."),
        "doctor": ("doctor", "doctor", "Show what this machine has, and what is missing."),
        "partial": ("weights", "partial", "Keep the first layers of a .weights file."),
        "zoo": ("zoo", "zoo", "List and fetch networks with official weights."),
    },
)
@click.version_option(darkpy.__version__, prog_name="darkpy")
def commands() -> None:
    """Hold the commands."""


class Lines(logging.Formatter):
    """One line a message, with its level in words: "warning: yolo.cfg:12: ..."."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {record.getMessage()}"


class Handler(logging.StreamHandler[TextIO]):
    """Write above a progress line, where one is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        bars = sys.modules.get("tqdm")
        with bars.tqdm.external_write_mode(self.stream) if bars else nullcontext():
            super().emit(record)


def main(args: list[str] | None = None) -> None:
    """Run the command line; exit with 0, 1 (part of the input failed), 2 (bad input) or 130."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what OpenCV cannot read, we report
    handler = Handler()
    handler.setFormatter(Lines())
    log = logging.getLogger("darkpy")
    log.addHandler(handler)
    _open_streams()
    words = [word.strip("\t\r\n") for word in (sys.argv[1:] if args is None else args)]
    try:
        code = _run(words)
    finally:
        log.removeHandler(handler)
    sys.exit(code)


def _open_streams() -> None:
    """Make the standard streams take and give any text; one that is closed is as if empty."""
    for name, mode, errors in (
        ("stdin", "r", "surrogateescape"),
        ("stdout", "w", "backslashreplace"),
        ("stderr", "w", "backslashreplace"),
    ):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors=errors)


def _run(words: list[str]) -> int:
    try:
        code = commands.main(words, prog_name="darkpy", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except DarkpyError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except MemoryError:
        click.echo("error: not enough memory on this machine", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return 130
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say
        _discard_output()
        return 1
    except OSError as error:
        _discard_output()
        click.echo(f"error: {error.filename or 'standard output'}: {reason(error)}", err=True)
        return 2


def _discard_output() -> None:
    """Lead standard output nowhere, so that Python does not write the rest of it at its end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
